"""Writes the table of roles and ACLs into docs/security-kafka.md, between its markers: `python -m docs.acl_table`."""

from pathlib import Path

from streams.roles import ROLE_TITLES, Operation, Resource, Role, grants_of, topic_names, user_of
from streams.topics import TopicSet

DOCUMENT = Path(__file__).with_name("security-kafka.md")
BEGIN, END = "<!-- acls: begin -->", "<!-- acls: end -->"


def rendered() -> str:
    """Return who may do what, in Markdown: a list of the roles, and one row for each topic and group."""
    topics = TopicSet()
    roles = [f"- **{role}** (`User:{user_of(role)}`): {ROLE_TITLES[role]}" for role in Role]
    rows = [(f"`{name}`", Resource.TOPIC, name) for name in topic_names(topics, Role.OPERATOR)]
    rows += [(f"group `{name}`", Resource.GROUP, name) for name in (topics.worker_app_id, topics.dispatch_app_id)]
    head = ["| | " + " | ".join(Role) + " |", "|---|" + "---|" * len(Role)]
    lines = [
        f"| {title} | " + " | ".join(_allowed(topics, role, resource, name) for role in Role) + " |"
        for title, resource, name in rows
    ]
    return "\n".join([*roles, "", *head, *lines])


def _allowed(topics: TopicSet, role: Role, resource: Resource, name: str) -> str:
    grants = grants_of(topics, role)
    return " ".join(
        operation
        for operation in Operation
        if any((resource, name, operation) == (g.resource, g.name, g.operation) for g in grants)
    )


def main() -> None:
    """Write the document anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{rendered()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
