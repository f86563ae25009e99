"""Published packages' own networks on inputs of ours, each with its own trained weights. Knows nothing of cellserve.

Arguments: the package, the folder that it lies in, and one to write `answers.npz` into; the file to be imported is printed. Of a
package the module with its network alone is loaded; what that imports of other packages stands empty.
"""

import importlib.util
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

LENGTHS = (23, 40, 9)


def module(path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


def arabic(folder):
    """Emissions alone: the CRF behind them is not asked."""
    file = folder / "arabic_morph_segmenter/assets/arabic_morph_segmenter_bilstm_crf.pt"
    stored = torch.load(file, weights_only=False, map_location="cpu")
    sys.modules["torchcrf"] = types.ModuleType("torchcrf")
    sys.modules["torchcrf"].CRF = lambda *args, **options: torch.nn.Identity()
    own = module(folder / "arabic_morph_segmenter/segmenter.py")
    config = stored["config"]
    network = own.CharBiLSTMCRFSegmenter(len(stored["char2id"]), config["emb_dim"], config["hidden_dim"], len(stored["label2id"]))
    weights = next(one for one in stored.values() if isinstance(one, dict) and "classifier.weight" in one)
    network.load_state_dict({name: one for name, one in weights.items() if not name.startswith("crf.")}, strict=False)
    network.eval()
    return file, words(len(stored["char2id"])), lambda ids: network.classifier(network.lstm(network.embedding(ids))[0])[0]


def cartwright(folder):
    """Its program begins with states drawn at random, anew for each call; here with zeros."""
    file = next((folder / "cartwright/models").glob("*_dict.pth"))
    weights = torch.load(file, weights_only=False, map_location="cpu")
    (vocabulary, units), (classes, hidden) = weights["embedding.weight"].shape, weights["hidden2out.weight"].shape
    network = module(folder / "cartwright/LSTM.py").LSTMClassifier(vocabulary, units, hidden, classes)
    network.load_state_dict(weights)
    network.init_hidden = lambda rows: (torch.zeros(1, rows, hidden), torch.zeros(1, rows, hidden))
    network.eval()
    return file, words(vocabulary), lambda ids: network(ids.T, torch.tensor([ids.shape[1]]))[0]


def medaka(folder):
    """Of a model out of its archive, with counts of bases as its inputs."""
    with tarfile.open(folder / "medaka/data/r1041_e82_400bps_sup_v5.2.0_model_pt.tar.gz") as archive:
        archive.extract("model/weights.pt", folder, filter="data")
    names = ("medaka", "medaka.architectures", "medaka.architectures.base_classes")
    *_, base = parents = [types.ModuleType(name) for name in names]
    base.CountsMatrixModel, parents[0].architectures, parents[1].base_classes = torch.nn.Module, parents[1], base
    sys.modules.update(zip(names, parents))
    network = module(folder / "medaka/architectures/gru.py").GRUModel()
    network.load_state_dict(torch.load(folder / "model/weights.pt", weights_only=True, map_location="cpu"))
    counts = [np.random.default_rng(length).random((length, 10)).astype(np.float32) for length in LENGTHS]
    return folder / "model/weights.pt", counts, lambda x: network.eval()(x)[0]


def beatnet(folder):
    """Activations of beats and downbeats as its program has them before its softmax; each call begins with states of zeros."""
    file = folder / "BeatNet/models/model_1_weights.pt"
    network = module(folder / "BeatNet/model.py").BDA(272, 150, 2, "cpu")
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    features = [np.random.default_rng(length).random((length, 272)).astype(np.float32) for length in LENGTHS]

    def asked(x):
        network.hidden, network.cell = torch.zeros(2, 1, 150), torch.zeros(2, 1, 150)
        return network.eval()(x)[0].T

    return file, features, asked


def nano_ocr(folder):
    """Before it chooses characters, lines of several widths; of its module the network alone."""
    file = folder / "nano_ocr/model/nano_ocr_ftr.pth"
    for name in ("PIL", "PIL.Image", "torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["PIL"].Image, sys.modules["PIL.Image"].Image = sys.modules["PIL.Image"], object
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    network = module(folder / "nano_ocr/ocr.py").CRNN(66)
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    lines = [np.random.default_rng(width).random((width, 32)).astype(np.float32) for width in (128, 96, 61)]
    return file, lines, lambda x: network.eval()(x.transpose(1, 2)[:, None])[:, 0]


def silero(folder, rate):
    """Chunks of samples one after the other, each with what its module keeps of those before."""
    file = folder / "silero_vad/data/silero_vad.jit"
    network = torch.jit.load(file, map_location="cpu").eval()
    size = 512 if rate == 16000 else 256
    chunks = [np.random.default_rng(count).normal(0, 0.1, (count, size)).astype(np.float32) for count in LENGTHS]

    def asked(x):
        network.reset_states()
        return torch.cat([network(chunk[None], rate) for chunk in x[0]])

    return file, chunks, asked


class Tinygrad(torch.Tensor):
    """Torch's tensors by the names that tinygrad has for what silero-vad's own program does."""

    def pad(self, margins, mode):
        return torch.nn.functional.pad(self, margins, mode)

    def stack(self, other, dim):
        return torch.stack([self, other], dim)


def silero_weights(folder):
    """Its arrays alone, which are others than the TorchScript's, by the package's own program, with torch in tinygrad's place.

    Chunks come with the 64 samples before each.
    """
    file = folder / "silero_vad/data/silero_vad_16k.safetensors"
    sys.modules["tinygrad"] = types.ModuleType("tinygrad")
    sys.modules["tinygrad"].nn = torch.nn
    network = module(folder / "silero_vad/tinygrad_model.py").TinySileroVAD()
    for name, array in load_file(file).items():
        owner, _, own = name.partition(".")
        getattr(getattr(network, owner), own).copy_(array)
    chunks = [np.random.default_rng(count).normal(0, 0.1, (count, 576)).astype(np.float32) for count in LENGTHS]
    for chunk in chunks:
        chunk[0, :64], chunk[1:, :64] = 0, chunk[:-1, -64:]

    def asked(x):
        answers, state = [], None
        for chunk in x[0]:
            answer, state = network(chunk[None].as_subclass(Tinygrad), state)
            answers.append(answer)
        return torch.cat(answers).as_subclass(torch.Tensor)

    return file, chunks, asked


def words(vocabulary):
    random = np.random.default_rng(0)
    return [random.integers(1, vocabulary, length) for length in LENGTHS]


PACKAGES = {"arabic_morph_segmenter": arabic, "BeatNet": beatnet, "cartwright": cartwright, "medaka": medaka} | {
    "nano_ocr": nano_ocr,
    "silero_vad": lambda folder: silero(folder, 16000),
    "silero_vad_8k": lambda folder: silero(folder, 8000),
    "silero_vad_weights": silero_weights,
}

if __name__ == "__main__":
    package, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with torch.no_grad():
        file, inputs, asked = PACKAGES[package](folder)
        answers = [asked(torch.from_numpy(one)[None]).numpy() for one in inputs]
    np.savez(
        out / "answers.npz", **{f"x{n}": one for n, one in enumerate(inputs)}, **{f"y{n}": one for n, one in enumerate(answers)}
    )
    print(file.resolve())
