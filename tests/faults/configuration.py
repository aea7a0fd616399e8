"""Configuration that changes, breaks or is missing while the service runs."""

from __future__ import annotations

import base64
import shutil
from itertools import islice

from tests.faults.matrix import fault
from tests.faults.receiving import NEW_SECRET
from tests.faults.world import WAIT_SECONDS, World, write_subscribers
from tests.kafka_support import ROOT, eventually


@fault(31, "keys rotated under load", "the receiver changes over to the new key alone, and verifies every call")
def rotated(world: World) -> None:
    """New key first with the old one beside it; then the receiver forgets the old one; then the file does."""
    world.start_all("worker-1", "dispatch")
    world.flows()
    world.send_part(1)
    (world.folder / "new.secret").write_text("whsec_" + base64.b64encode(NEW_SECRET.key).decode())
    old = {"secret": {"file": "hook.secret"}, "until": "2099-01-01T00:00:00+08:00"}
    new = {"secret": {"file": "new.secret"}, "previous_secrets": [old]}
    write_subscribers(world.folder, world.url, everybody=new)
    verified_by_new(world)
    world.send_part(2)
    write_subscribers(world.folder, world.url, everybody={"secret": {"file": "new.secret"}})
    world.heal()


def verified_by_new(world: World) -> None:
    """Let calls flow until one carries the new signature, then trust that alone."""
    receiver, records = world.receiver, iter(world.load.part(2))

    def signed() -> bool:
        world.send_records(list(islice(records, 5)))
        return receiver.signed_anew > 0

    eventually(signed, WAIT_SECONDS, "a call is signed by the new key")
    world.idle()
    world.all_delivered()
    world.observed = {"signed_anew": receiver.signed_anew}
    receiver.trust_only(NEW_SECRET)


@fault(32, "a bad hot reload", "the reload is refused and counted; the old rules go on")
def bad_reload(world: World) -> None:
    """A folder of rules is broken while events flow, and the routing file as well."""
    rules = world.folder / "rules"
    shutil.copytree(ROOT / "rules" / "packs" / "default", rules)
    world.settings["RULES_DIR"] = str(rules)
    world.start_all("worker-1", "dispatch")
    world.flows()
    broken = sorted(rules.glob("P*.yaml"))[world.load.seed % 5]
    whole, routing = broken.read_text(), world.folder / "routing.yaml"
    whole_routing = routing.read_bytes()
    broken.write_text(whole + "\nwhole: no\nwhole: yes\n")
    routing.write_text("version: 1\nroutes: [")
    world.send_part(1)
    refused = 'hw_rules_reloads_total{outcome="refused"}'
    eventually(lambda: world.metric(refused) >= 1, WAIT_SECONDS, "the rules are refused")
    eventually(lambda: "hw_dispatch_file_rejected 1.0" in world.metrics("dispatch"), WAIT_SECONDS, "routing is refused")
    world.send_part(2)
    world.idle()
    world.observed = {"broken": broken.name}
    broken.write_text(whole)
    routing.write_bytes(whole_routing)
    world.heal()


@fault(33, "the unit registry missing", "everything is held, nothing is sent, and health says so")
def no_registry(world: World) -> None:
    """Dispatch starts without a registry; then there is one."""
    units = world.folder / "units.yaml"
    away = units.rename(world.folder / "units.away")
    world.start_all("worker-1", "dispatch")
    world.send_part(0)
    world.send_part(1)
    world.idle()
    eventually(lambda: "hw_dispatch_holding 1.0" in world.metrics("dispatch"), WAIT_SECONDS, "everything is held")
    assert len(world.issued()) > 0
    assert world.receiver.accepted == []
    away.rename(units)
    world.heal()
