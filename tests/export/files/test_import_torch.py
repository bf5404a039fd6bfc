"""PyTorch models in every form that they are kept in. Skipped where PyTorch is not installed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.export_imports import picture, rgb, run_exported
from support.paths import TESTS

from edge_ad.errors import ModelError
from edge_ad_export import ModelFile, Size, import_model
from edge_ad_export.files.torch_file import TorchOptions

torch = pytest.importorskip("torch", reason="needs the extra [torch]")
from support.export_torch_net import SIDE, make  # noqa: E402

pytestmark = pytest.mark.slow
SIZED = TorchOptions(size=Size(SIDE, SIDE))


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    return make().eval()


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


def exported(net: Any, folder: Path) -> ModelFile:
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, SIDE, SIDE),)), folder / "net.pt2")
    return ModelFile(folder / "net.pt2")


def scripted(net: Any, folder: Path) -> ModelFile:
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, SIDE, SIDE)), folder / "net.pt")
    return ModelFile(folder / "net.pt", SIZED)


def state_dict(net: Any, folder: Path) -> ModelFile:
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, folder / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), state_dict=folder / "net.pth")
    return ModelFile(Path("support.export_torch_net:make"), options)


def wrapped(net: Any, folder: Path, saved: Any) -> ModelFile:
    torch.save(saved, folder / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), state_dict=folder / "net.pth")
    return ModelFile(Path("support.export_torch_net:make"), options)


def data_parallel(net: Any, folder: Path) -> ModelFile:
    return wrapped(net, folder, torch.nn.DataParallel(net).state_dict())


def lightning(net: Any, folder: Path) -> ModelFile:
    weights = {f"model.{name}": weight for name, weight in net.state_dict().items()}
    return wrapped(net, folder, {"state_dict": weights, "epoch": 1, "pytorch-lightning_version": "2.5.0"})


def beside_an_optimizer(net: Any, folder: Path) -> ModelFile:
    optimizer = torch.optim.Adam(net.parameters())
    saved = {"model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 2}
    return wrapped(net, folder, saved)


def pickled(net: Any, folder: Path) -> ModelFile:
    torch.save({"model": net, "metadata": {}}, folder / "net.pt")
    return ModelFile(folder / "net.pt", TorchOptions(size=Size(SIDE, SIDE), trust_pickle=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "form", [exported, scripted, state_dict, data_parallel, lightning, beside_an_optimizer, pickled]
)
def test_scores_as_in_pytorch(tmp_path: Path, net: Any, form: Any) -> None:
    pixels = picture(SIDE, SIDE, 3)
    with torch.no_grad():
        score, anomaly_map = (part.numpy() for part in net(torch.from_numpy(rgb(pixels))))

    found = run_exported(import_model(form(net, tmp_path)), pixels, tmp_path / "exported")

    assert found.score == pytest.approx(score.item(), rel=1e-4)
    assert found.map == pytest.approx(anomaly_map[0, 0], rel=1e-3, abs=1e-5)


def test_weights_alone_are_no_model(tmp_path: Path, net: Any) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), trust_pickle=True)

    with pytest.raises(ModelError, match=r"found OrderedDict: for weights alone say package\.module:factory"):
        import_model(ModelFile(tmp_path / "net.pth", options))


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), state_dict=tmp_path / "net.pth")

    with pytest.raises(ModelError, match=r"failed: ValueError: the weights are of another network: Missing key\(s\)"):
        import_model(ModelFile(Path("support.export_torch_net:make"), options))


def test_a_network_that_cannot_be_traced_is_named(tmp_path: Path, net: Any) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), state_dict=tmp_path / "net.pth")

    with pytest.raises(ModelError, match=r"^converting the PyTorch model support\.export_torch_net:make_hidden failed"):
        import_model(ModelFile(Path("support.export_torch_net:make_hidden"), options))


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_state_dict_that_runs_code_is_refused(tmp_path: Path) -> None:
    """Weights are loaded as data only: a pickle in their place is not executed."""
    torch.save({"first.weight": Evil(tmp_path / "executed")}, tmp_path / "net.pth")
    options = TorchOptions(size=Size(SIDE, SIDE), state_dict=tmp_path / "net.pth")

    with pytest.raises(ModelError, match="holds more than weights, or is no file of PyTorch"):
        import_model(ModelFile(Path("support.export_torch_net:make"), options))

    assert not (tmp_path / "executed").exists()


def test_an_exported_program_that_runs_code_is_refused(tmp_path: Path, net: Any) -> None:
    """PyTorch itself would load the parts of a .pt2 as pickles."""
    whole, evil = exported(net, tmp_path).path, tmp_path / "evil.pt2"
    torch.save(Evil(tmp_path / "executed"), tmp_path / "part")
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(evil, "w") as after:
        for name in before.namelist():
            after.writestr(name, (tmp_path / "part").read_bytes() if "sample_inputs" in name else before.read(name))

    with pytest.raises(ModelError, match=r"there is more than data in it.*--trust-pickle"):
        import_model(ModelFile(evil))

    assert not (tmp_path / "executed").exists()
