"""What packages from PyPI with trained weights answer by their own code. The file to write arrays and answers to as argument."""

import os

import nltk
import numpy as np
import silero_vad
import torch
from scenarios import main

nltk.download = lambda *_: False  # g2p_en asks for corpora when imported, which its network does not need
from g2p_en import G2p  # noqa: E402
from g2p_en import g2p as g2p_module  # noqa: E402

WORDS = ["recurrent", "a", "serving", "onomatopoeia", "xyzzy", "chromatography"]
CHUNKS, SAMPLES, CONTEXT, RATE = 12, 512, 64, 16000


def pronounce(path):
    """Words as g2p_en's GRU encoder sees and answers them, and where its arrays lie."""
    model = G2p.__new__(G2p)  # its constructor only adds dictionaries
    model.graphemes = ["<pad>", "<unk>", "</s>"] + list("abcdefghijklmnopqrstuvwxyz")
    model.g2idx = {letter: index for index, letter in enumerate(model.graphemes)}
    model.load_variables()
    told = {}
    for index, word in enumerate(WORDS):
        told[f"ids_{index}"] = np.array([model.g2idx[letter] for letter in [*word, "</s>"]])
        encoded = (model.enc_w_ih, model.enc_w_hh, model.enc_b_ih, model.enc_b_hh)
        told[f"states_{index}"] = model.gru(model.encode(word), len(word) + 1, *encoded)[0]
    np.savez(path, **told)
    return {"arrays": os.path.join(g2p_module.dirname, "checkpoint20.npz"), "words": len(WORDS)}


def detect_voice(path):
    """The features that silero-vad's LSTM cell reads chunk by chunk, the probabilities that the package answers, its arrays."""
    model = silero_vad.load_silero_vad()
    numbers = torch.Generator().manual_seed(5)
    time = torch.arange(CHUNKS * SAMPLES) / RATE
    hum = sum(torch.sin(2 * torch.pi * 140 * harmonic * time) / harmonic for harmonic in range(1, 12))
    audio = 0.2 * hum * (1 + torch.sin(2 * torch.pi * 4 * time)) + 0.01 * torch.randn(time.shape, generator=numbers)
    audio[: 2 * SAMPLES] *= 0.01
    features, probabilities = [], []
    before = torch.zeros(CONTEXT)
    with torch.no_grad():
        for chunk in audio.split(SAMPLES):
            heard = model._model.run_extractors(torch.cat([before, chunk])[None])
            features.append(model._model.encoder(heard)[0, :, 0])
            probabilities.append(model(chunk, RATE)[0])
            before = chunk[-CONTEXT:]
    arrays = {name.removeprefix("_model."): array for name, array in model.state_dict().items() if name.startswith("_model.")}
    cell = {name: arrays[f"decoder.rnn.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    end = {"end_weight": arrays["decoder.decoder.2.weight"][:, :, 0], "end_bias": arrays["decoder.decoder.2.bias"]}
    np.savez(path, **{name: array.numpy() for name, array in (cell | end).items()})
    return {
        "features": torch.stack(features).tolist(),
        "probabilities": torch.stack(probabilities).tolist(),
        "state": model._state[:, 0].tolist(),
    }


if __name__ == "__main__":
    main({"pronounce": pronounce, "detect_voice": detect_voice})
