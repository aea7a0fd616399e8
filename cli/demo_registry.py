"""Who is told what in the demo: a made-up county's units, who supervises them, and the five who subscribe."""

from __future__ import annotations

from pathlib import Path

SUBSCRIBERS = {
    "team": "派驻县住建局纪检监察组",
    "committee": "街道纪工委",
    "conduct": "县纪委监委党风政风监督室",
    "complaints": "县纪委监委信访室",
    "platform": "县监督平台",
}
"""Their names, and as whom the demo shows them."""

_SUBSCRIBER = """\
  - name: {name}
    url: {url}/{name}
    secret: {{env: {variable}}}
    allow_http: true
    allow_networks: [127.0.0.0/8]
    levels: [yellow, red]
"""

_OFFICES = """\
units:
  - {id: GOV, name: 测试县人民政府, kind: government, level: county}
  - {id: DISCIPLINE, name: 测试县纪委监委, kind: discipline_office, level: county}
  - {id: CADRES, name: 干部监督室, kind: discipline_office, level: county, parent: DISCIPLINE, duty: cadre_supervision}
  - {id: CONDUCT, name: 党风政风监督室, kind: discipline_office, level: county, parent: DISCIPLINE, duty: party_conduct,
     subscribers: [conduct]}
  - {id: COMPLAINTS, name: 信访室, kind: discipline_office, level: county, parent: DISCIPLINE, duty: complaints, subscribers: [complaints]}
  - {id: PLATFORM, name: 监督平台, kind: discipline_office, level: county, parent: DISCIPLINE, duty: platform, subscribers: [platform]}
  - {id: POOL, name: 人工研判池, kind: discipline_office, level: county, parent: DISCIPLINE, duty: human_pool}
  - {id: TEAM, name: 派驻纪检监察组, kind: posted_team, level: county, parent: DISCIPLINE, subscribers: [team]}
  - {id: COMMITTEE, name: 街道纪工委, kind: discipline_committee, level: township, parent: DISCIPLINE,
     subscribers: [committee]}
"""

_UNITS = (
    ("U-01", "甲街道办事处"),
    ("U-02", "乙住建局"),
    ("U-03", "丙市政中心"),
    ("U-04", "丁街道办事处"),
    ("U-05", "戊供水公司"),
    ("U-06", "己环保局"),
    ("U-21", "天街道办事处"),
    ("U-22", "地街道办事处"),
    ("U-23", "玄街道办事处"),
    ("U-24", "黄街道办事处"),
    ("U-25", "宇城市管理局"),
    ("U-26", "宙住建局"),
    ("U-27", "洪交通局"),
    ("U-28", "荒水务公司"),
)


def write_files(folder: Path, url: str, variable: str) -> tuple[Path, Path]:
    """Write the subscribers file and the unit registry, and return their paths; `variable` names the secret's variable."""
    subscribers, units = folder / "subscribers.yaml", folder / "units.yaml"
    entries = (_SUBSCRIBER.format(name=name, url=url, variable=variable) for name in SUBSCRIBERS)
    subscribers.write_text("subscribers:\n" + "".join(entries), encoding="utf-8")
    units.write_text(_OFFICES + "".join(_unit(*unit) for unit in _UNITS), encoding="utf-8")
    return subscribers, units


def _unit(ident: str, name: str) -> str:
    kind, level, supervisor = ("department", "county", "TEAM")
    if "街道" in name:
        kind, level, supervisor = ("subdistrict", "township", "COMMITTEE")
    elif "公司" in name:
        kind = "enterprise"
    return (
        f"  - {{id: {ident}, name: {name}, kind: {kind}, level: {level}, parent: GOV, supervised_by: {supervisor}}}\n"
    )
