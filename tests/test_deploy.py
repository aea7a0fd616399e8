"""deploy/: what each tool says of its files, and that the files say the same as the service and as each other."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cli.init import write_installation
from streams.settings import PREFIX, load_settings
from tests.deploy_support import DEPLOY, alert_rules, is_setting, prometheus_folder, read, run, tool
from tests.kafka_support import ROOT

PROMETHEUS = DEPLOY / "prometheus"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = read("compose.yaml")
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")


# --- everything


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_file_holds_a_secret_or_names_a_registry(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "whsec_" not in text
    assert not re.search(r"(?i)(password|token|secret)\s*[:=]\s*[\"']?[A-Za-z0-9+/]{16,}", text)
    for image in re.findall(r"(?:image:|FROM|PYTHON_IMAGE=|_IMAGE:-)\s*([a-z][\w./-]*:[\w.-]+)", text):
        assert "." not in image.partition("/")[0].partition(":")[0], "an image's name begins with no host"


# --- Prometheus and Alertmanager


@pytest.mark.parametrize("where", ["compose", "systemd"])
def test_promtool_takes_the_configuration(tmp_path: Path, where: str) -> None:
    targets = read(f"prometheus/targets/{where}.yaml")
    (watcher,) = read(f"prometheus/alertmanagers/{where}.yaml")
    path = prometheus_folder(tmp_path, targets, watcher["targets"][0])
    checked = run(tool("promtool"), "check", "config", path)
    assert checked.returncode == 0, checked.stdout
    assert "WARNING" not in checked.stdout


def test_promtool_takes_the_alerts_and_their_cases_come_true() -> None:
    for command in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts.test.yaml")):
        checked = run(tool("promtool"), *command, cwd=PROMETHEUS)
        assert checked.returncode == 0, checked.stdout


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires, rests = set(), set()
    for test in read("prometheus/alerts.test.yaml")["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case["exp_alerts"] else rests).add(case["alertname"])
    names = {rule["alert"] for rule in alert_rules()}
    assert (names - fires, names - rests, (fires | rests) - names) == (set(), set(), set())


def test_a_case_that_is_wrong_fails(tmp_path: Path) -> None:
    """What checks the cases would notice: one of them, with the alert's threshold raised."""
    text = (PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8")
    raised = text.replace('hw_lag_records{process="worker"}) > 10000', 'hw_lag_records{process="worker"}) > 1e9')
    assert raised != text
    (tmp_path / "alerts.yaml").write_text(raised)
    cases = read("prometheus/alerts.test.yaml")
    lag = [one for one in cases["tests"] if one["alert_rule_test"][0]["alertname"] == "HotlineWatchLag"]
    (tmp_path / "alerts.test.yaml").write_text(yaml.safe_dump(cases | {"tests": lag}, sort_keys=False))
    checked = run(tool("promtool"), "test", "rules", "alerts.test.yaml", cwd=tmp_path)
    assert checked.returncode != 0
    assert "HotlineWatchLag" in checked.stdout


def test_each_alert_says_how_urgent_it_is_and_the_docs_what_to_do() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    for rule in alert_rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert f"| `{rule['alert']}` |" in text, rule["alert"]
    named = set(re.findall(r"^\| `(HotlineWatch\w+)` \|", text, re.MULTILINE))
    assert named == {rule["alert"] for rule in alert_rules()}


def test_amtool_takes_the_configurations() -> None:
    for path in sorted((DEPLOY / "alertmanager").glob("*.yaml")):
        checked = run(tool("amtool"), "check-config", path)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "operators-now"), ("warning", "operators")])
@pytest.mark.parametrize("name", ["alertmanager.yaml", "alertmanager.mail.example.yaml"])
def test_what_is_critical_goes_to_whoever_is_called_at_once(name: str, severity: str, receiver: str) -> None:
    config = DEPLOY / "alertmanager" / name
    asked = run(tool("amtool"), "config", "routes", "test", f"--config.file={config}", f"severity={severity}")
    assert asked.returncode == 0, asked.stdout
    assert asked.stdout.split()[-1] == receiver


def test_alertmanager_inhibits_only_alerts_that_there_are() -> None:
    names = {rule["alert"] for rule in alert_rules()}
    for rule in read("alertmanager/alertmanager.yaml")["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            found = re.fullmatch(r'alertname(?:="(\w+)"|=~"HotlineWatch\(([\w|]+)\)")', matcher)
            if found is None:
                assert matcher in ('process="worker"', 'process="dispatch"')
                continue
            asked = {found[1]} if found[1] else {f"HotlineWatch{part}" for part in found[2].split("|")}
            assert asked <= names


# --- Compose


def _ours() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in COMPOSE["services"].items() if "build" in one}


def test_compose_is_what_its_published_schema_asks_for() -> None:
    schema = json.loads((ROOT / "tests" / "vendor" / "compose-spec.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(COMPOSE)]
    assert problems == []
    broken = COMPOSE | {"services": COMPOSE["services"] | {"api": {"imagee": "x"}}}
    assert list(Draft202012Validator(schema).iter_errors(broken)), "the schema is one that refuses"


def test_compose_starts_everything() -> None:
    commands = {name: one.get("command") for name, one in _ours().items()}
    assert commands == {
        "topics": ["topics", "create"],
        "worker-1": ["worker"],
        "worker-2": ["worker"],
        "dispatch": ["dispatch"],
        "api": ["api"],
        "drill": ["drill", "--every", "1"],
    }
    assert set(COMPOSE["services"]) - set(commands) == {"kafka", "prometheus", "alertmanager", "grafana"}


def test_our_containers_can_do_little_and_write_little() -> None:
    for name, one in _ours().items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in one, "the image's own user, which is not root"
        assert "privileged" not in one
        assert not any("docker.sock" in str(volume) for volume in one.get("volumes", ()))
    writes = {
        name
        for name, one in _ours().items()
        for volume in one.get("volumes", ())
        if volume.endswith(":/etc/hotline-watch")
    }
    assert writes == {"api"}


def test_each_of_our_processes_is_watched_and_keeps_its_tables_to_itself() -> None:
    kept = []
    for name, one in _ours().items():
        if name == "topics":
            continue
        assert "healthz" in one["healthcheck"]["test"][-1], name
        kept += [volume.partition(":")[0] for volume in one["volumes"] if volume.endswith(":/var/lib/hotline-watch")]
    assert sorted(kept) == ["api", "dispatch", "worker-1", "worker-2"]
    assert set(kept) <= set(COMPOSE["volumes"])


def test_nothing_is_published_beyond_this_machine_and_workers_have_no_way_out() -> None:
    for name, one in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ())), name
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, one in COMPOSE["services"].items() if one["networks"] == ["inside"]} == {
        "topics",
        "worker-1",
        "worker-2",
        "drill",
    }


def test_compose_sets_only_what_there_is_to_set() -> None:
    for name, one in _ours().items():
        assert [key for key in one.get("environment", {}) if not is_setting(key)] == [], name


def test_what_compose_mounts_is_there() -> None:
    for name, one in COMPOSE["services"].items():
        for volume in one.get("volumes", ()):
            if volume.startswith("./"):
                assert (DEPLOY / volume.partition(":")[0]).exists(), (name, volume)
    assert {"/config/", "/secrets/", "/.env"} <= set((DEPLOY / ".gitignore").read_text().split())


def test_prometheus_is_told_where_the_containers_answer() -> None:
    told = {}
    for entry in read("prometheus/targets/compose.yaml"):
        for target in entry["targets"]:
            told[target] = entry["labels"]["process"]
    wanted = {}
    for name, one in _ours().items():
        if name != "topics":
            environment = one["environment"]
            port = environment["HOTLINE_WATCH_API_PORT" if name == "api" else "HOTLINE_WATCH_HTTP_PORT"]
            wanted[f"{name}:{port}"] = one["command"][0]
            assert f":{port}/healthz" in one["healthcheck"]["test"][-1]
    assert told == wanted


# --- the image


def test_the_image_is_built_in_stages_on_a_pinned_base() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base
    assert re.fullmatch(r"python:3\.\d+\.\d+-[a-z-]+", base[1]), "a version in full"
    assert base[1] in (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert base[1].removeprefix("python:").startswith(version.removeprefix(">="))


def test_the_image_runs_as_nobody_in_particular() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.findall(r"^USER (\S+)", last, re.MULTILINE) == ["10001:10001"]
    assert last.index("USER 10001") > last.rindex("\nRUN ")
    assert not re.search(r"^(?:ARG|ENV) .*(?:SECRET|PASSWORD|TOKEN)", DOCKERFILE, re.MULTILINE | re.IGNORECASE)
    assert not re.search(r"^ADD ", DOCKERFILE, re.MULTILINE), "ADD fetches and unpacks"
    variables = re.findall(rf"{PREFIX}[A-Z_]+", DOCKERFILE)
    assert variables
    assert all(is_setting(name) for name in variables)


def test_everything_in_the_image_is_pinned_by_its_hash() -> None:
    installs = re.findall(r"pip install ((?:[^&\\]|\\\n)+)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-deps /wheels/" in one for one in installs)
    whole = _locked(ROOT / "requirements-dev.lock")
    build = _locked(DEPLOY / "docker" / "build.lock")
    assert {"hatchling", "packaging", "pathspec", "pluggy"} <= set(build)
    assert {name: whole.get(name) for name in build} == build, "take them over from requirements-dev.lock"


def _locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return version and hashes by name."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==(\S+).*\\\n((?: +--hash=\S+(?: \\)?\n)+)", text, re.MULTILINE)
    return {name: (version, frozenset(re.findall(r"sha256:\w+", hashes))) for name, version, hashes in found}


def test_the_image_holds_the_packages_of_the_wheel_and_nothing_of_an_installation() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == set(wheel["packages"])
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "nothing by default"
    let_in = {line[1:] for line in rules if line.startswith("!")}
    files = set(re.findall(r"^COPY ((?:[\w./-]+ )+)\S+$", DOCKERFILE, re.MULTILINE))
    assert let_in == {name for names in files for name in names.split()}


# --- the CI script


def test_ci_installs_the_tools_and_then_runs_the_tests_alone() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "make test"
    text = "\n".join(lines)
    for package in ("prometheus", "prometheus-alertmanager", "systemd"):
        assert f"missing+=({package})" in text


def test_yaml_below_deploy_has_no_key_twice() -> None:
    class Strict(yaml.SafeLoader):
        """Refuses a key that stands twice."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Any:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
        return yaml.SafeLoader.construct_yaml_map(loader, node)

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    paths = [path for path in FILES if path.suffix == ".yaml"]
    assert len(paths) > 8
    for path in paths:
        yaml.load(path.read_text(encoding="utf-8"), Loader=Strict)


# --- docs/deploying.md


def test_what_init_writes_is_all_that_the_containers_and_units_read(tmp_path: Path) -> None:
    config = tmp_path / "config"
    write_installation(config)
    settings = load_settings(config / "hotline-watch.toml", {})
    files = {name: value for name, value in settings if isinstance(value, Path) and name != "data_dir"}
    assert {"units_file", "subscribers_file", "silences_file", "api_clients_file"} <= set(files)
    assert [name for name, path in files.items() if config not in path.parents or not path.exists()] == []
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    named = set(re.findall(r"config/([\w./-]*\w)", text)) - {"alertmanager.yaml"}  # which an operator writes
    assert named >= {"secrets/pseudonym-k1", "units.yaml", "subscribers.yaml"}
    assert [name for name in named if not (config / name).exists()] == []


def test_the_settings_in_the_docs_are_taken(tmp_path: Path) -> None:
    config = tmp_path / "config"
    write_installation(config)
    path = config / "hotline-watch.toml"
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    (asked,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    wanted = tomllib.loads(asked)
    kept = [line for line in path.read_text().splitlines(keepends=True) if line.partition(" = ")[0] not in wanted]
    path.write_text(asked + "".join(kept))
    settings = load_settings(path, {})
    assert {name: getattr(settings, name) for name in wanted} == wanted


def test_the_docs_name_only_variables_that_compose_reads() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    block = text.partition("**3. `.env`**")[2].partition("**4. Start**")[0]
    named = set(re.findall(r"\b([A-Z][A-Z_]+)=", block))
    asked = set(re.findall(r"\$\{([A-Z_]+):-", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert named - asked == set()
    assert asked - named == {"HOTLINE_WATCH_IMAGE", "CONFIG_DIR", "ALERTMANAGER_SECRETS", "KAFKA_ADVERTISED_HOST"} | {
        "GRAFANA_ADMIN_PASSWORD_FILE"
    }
