"""azd's project file, the workflows and the compose file: their published schemas, pinned actions, names that exist."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from local.bicep import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def document(path: Path) -> dict[str, Any]:
    """A YAML file. `on` is a key, not the boolean of YAML 1.1."""
    read: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if name is True else name: value for name, value in read.items()}


def complaints(schema: str, instance: Any) -> list[str]:
    # azd's names the schemas of its extensions, of which nothing is used here.
    validator = jsonschema_rs.validator_for(json.loads(schema), retriever=lambda _: {})
    return [f"{error.instance_path}: {error.message[:300]}" for error in validator.iter_errors(instance)]


def published(name: str) -> str:
    return (ROOT / "tests" / "infra" / "schemas" / f"{name}.json").read_text(encoding="utf-8")


def test_azds_project_file_is_as_azd_wants_it() -> None:
    schema = published("azure.yaml")
    azure = document(ROOT / "azure.yaml")
    assert complaints(schema, azure) == []
    assert complaints(schema, azure | {"hooks": {"aftermath": {"run": "true"}}}) != []
    assert azure["services"]["api"]["host"] == "function"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_as_github_wants_it(path: Path) -> None:
    schema = published("github-workflows")
    workflow = document(path)
    assert complaints(schema, workflow) == []
    assert complaints(schema, workflow | {"jobs": {"test": {"steps": []}}}) != []


def test_the_compose_file_is_as_compose_wants_it() -> None:
    assert complaints(published("compose-spec"), document(ROOT / "docker-compose.yml")) == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_by_digest_with_its_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    assert used
    for each in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_workflows_have_few_rights_and_a_deployment_has_no_secret() -> None:
    for path in WORKFLOWS:
        assert document(path)["permissions"].items() <= {"contents": "read", "id-token": "write"}.items()
        assert "secrets." not in path.read_text(encoding="utf-8")
    deploy = document(ROOT / ".github" / "workflows" / "deploy.yml")
    assert deploy["permissions"]["id-token"] == "write"
    assert any(
        "--federated-credential-provider github" in str(step.get("run")) for step in deploy["jobs"]["deploy"]["steps"]
    )


def test_every_hook_is_a_file_that_is_there() -> None:
    for hook in document(ROOT / "azure.yaml")["hooks"].values():
        for system in hook.values():
            _, script, when = system["run"].split()
            assert when in ("provisioned", "before", "after")
            assert (ROOT / script).is_file()


def test_each_parameter_of_the_template_has_a_variable_of_its_own() -> None:
    text = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    parameters = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert set(re.findall(r"^param (\w+) ", text, re.MULTILINE)) == parameters.keys()
    variables = [re.fullmatch(r"\$\{(\w+)\}", value["value"]) for value in parameters.values()]
    names = [found[1] for found in variables if found]
    assert len(set(names)) == len(parameters)
    # azd keeps outputs under their names: an output would change the parameter at the next deployment.
    assert not set(re.findall(r"^output (\w+) ", text, re.MULTILINE)) & set(names)
    guide = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    for parameter, name in zip(parameters, names, strict=True):
        if parameter not in ("environmentName", "location"):
            assert f"| `{name}` | `{parameter}` |" in guide


def test_the_workflow_passes_every_parameter_on_and_never_an_empty_text_that_azd_takes_for_a_value() -> None:
    """azd leaves out an empty number or yes-or-no, and takes an empty text as it is: no plan, and no JSON."""
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    declared = re.findall(r"^param (\w+) ([\w\[\]]+)(?: = (.*))?$", template, re.MULTILINE)
    parameters = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    passed = document(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]["deploy"]["env"]
    for parameter, kind, default in declared:
        name = parameters[parameter]["value"].strip("${}")
        can_be_empty = kind in ("bool", "int") or default in ("''", "")
        fallback = "" if can_be_empty else f" || '{default.strip(chr(39))}'"
        expected = "${{ inputs.environment }}" if name == "AZURE_ENV_NAME" else f"${{{{ vars.{name}{fallback} }}}}"
        assert passed.pop(name) == expected
    assert passed.keys() == {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}


def test_a_pull_request_can_neither_deploy_nor_write() -> None:
    """Not even from a fork: what runs for one has no right to a token of Azure, and no secret."""
    deploy, ci = (document(ROOT / ".github" / "workflows" / name) for name in ("deploy.yml", "ci.yml"))
    assert deploy["on"].keys() == {"workflow_dispatch"}
    assert ci["on"].keys() == {"push", "pull_request"}
    assert ci["permissions"] == {"contents": "read"}
    for workflow in (deploy, ci):
        for job in workflow["jobs"].values():
            assert "permissions" not in job
            for step in job["steps"]:
                # An expression in a script is text that the shell carries out.
                assert "${{" not in step.get("run", "")
                assert "checkout" not in step.get("uses", "") or step["with"]["persist-credentials"] is False
