"""The example of continuous deployment: its commands exist, and only a protected environment gets an identity."""

import re
import subprocess

import pytest
import yaml
from conftest import INFRA
from samtranslator.yaml_helper import yaml_parse


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load((INFRA / "ci/deploy.yml").read_text())


def test_only_deployments_have_an_identity(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    deploying = {name for name, job in workflow["jobs"].items() if job.get("permissions", {}).get("id-token") == "write"}
    assert deploying == {"dev", "prod"}
    for name in deploying:
        job = workflow["jobs"][name]
        # The environment is what the role's condition names. A pull request from a fork reaches neither job.
        assert job["environment"] == name
    assert workflow["jobs"]["dev"]["if"] == "github.event_name == 'push'" and workflow["jobs"]["prod"]["needs"] == "dev"
    assert "secrets." not in (INFRA / "ci/deploy.yml").read_text()


def test_the_role_is_for_one_environment_of_one_repository():
    role = yaml_parse((INFRA / "ci/role.yaml").read_text())["Resources"]["Deployer"]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert set(statement["Condition"]) == {"StringEquals"}
    subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject == {"Fn::Sub": "repo:${Repository}:environment:${Stage}"}


def test_the_role_may_make_every_kind_of_resource(translated, data_template):
    """Each service of the templates is one of the role's, or the first deployment with it would fail."""
    role = yaml_parse((INFRA / "ci/role.yaml").read_text())["Resources"]["Deployer"]["Properties"]
    statements = [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]
    actions = [action for statement in statements for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])]
    kinds = {resource["Type"] for made in (translated, data_template) for resource in made["Resources"].values()}
    others = {"apigatewayv2": "apigateway", "applicationautoscaling": "application-autoscaling"}
    services = {kind.split("::")[1].lower() for kind in kinds}
    services = {others.get(service, service) for service in services}
    assert len(services) > 10 and services <= {action.split(":")[0] for action in actions}


def test_its_commands_take_their_options(workflow):
    said = subprocess.run(["bash", str(INFRA / "deploy"), "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", said, re.MULTILINE))
    parameters = set()
    for name in ("template", "data"):
        parameters |= set(yaml_parse((INFRA / f"{name}.yaml").read_text())["Parameters"])
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "infra/deploy" in step.get("run", "")]
    assert len(scripts) == 2
    for script in scripts:
        assert set(re.findall(r"(?<= )--[a-z-]+", script)) <= options
        assert set(re.findall(r'--set "?([A-Za-z]+)=', script)) <= parameters


def test_each_rule_of_checkov_that_is_left_out_has_a_reason():
    lines = (INFRA / "checkov.yaml").read_text().split("skip-check:\n")[1].splitlines()
    assert len(lines) >= 4 and len(lines) % 2 == 0
    for reason, rule in zip(lines[::2], lines[1::2]):
        assert re.fullmatch(r"  # .{30,}\.", reason) and re.fullmatch(r"  - CKV_AWS_\d+", rule), (reason, rule)


def test_each_finding_is_held_by_tests_that_exist():
    table = (INFRA.parent / "docs/deploy.md").read_text().split("\n## Findings\n")[1]
    rows = [row.split("|")[1:4] for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 20
    python = "".join(path.read_text() for path in (INFRA / "tests").glob("test_*.py"))
    rust = "".join(path.read_text() for path in (INFRA.parent / "crates/time-traveler").rglob("*.rs"))
    for finding, _, held in rows:
        for name in re.findall(r"`([^`]+)`", held):
            where = [INFRA / "tests" / name, INFRA.parent / name, INFRA.parent / "crates/time-traveler" / name]
            where.append(INFRA.parent / "crates/time-traveler/src" / name)
            known = f"def {name}(" in python or f"fn {name}(" in rust or any(path.exists() for path in where)
            assert known, (finding, name)
