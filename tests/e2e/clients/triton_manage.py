"""tritonclient.grpc's calls about models and the server: URL as argument, and a model's name where one is needed."""

import numpy as np
import tritonclient.grpc as grpc
from scenarios import main
from triton_tensors import answer, failure, inputs_of
from tritonclient.utils import InferenceServerException


def describe(url, model):
    client = grpc.InferenceServerClient(url)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(model),
        "version ready": client.is_model_ready(model, "1"),
        "nobody ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(model, as_json=True),
        "config": client.get_model_config(model, as_json=True)["config"],
    }


def statistics(url, model="", version=""):
    return grpc.InferenceServerClient(url).get_inference_statistics(model, version, as_json=True).get("model_stats", [])


def index(url):
    return grpc.InferenceServerClient(url).get_model_repository_index(as_json=True).get("models", [])


def unload_and_load(url, model, questions):
    """What each moment looks like: loaded, unloaded, asked for while unloaded, loaded again."""
    client = grpc.InferenceServerClient(url)
    inputs = inputs_of(grpc, inputs=np.load(questions)[model][:1])

    def asked(version=""):
        try:
            return answer(client.infer(model, inputs, model_version=version))
        except InferenceServerException as error:
            return failure(error)

    def state():
        models = client.get_model_repository_index(as_json=True).get("models", [])
        return {"ready": client.is_model_ready(model), "index": [each for each in models if each["name"] == model]}

    before = state() | {"asked": asked()}
    client.unload_model(model)
    unloaded = state() | {"asked": asked(), "asked for 1": asked("1")}
    client.load_model(model)
    return {"before": before, "unloaded": unloaded, "loaded": state() | {"asked": asked()}}


def unload_unknown(url):
    client = grpc.InferenceServerClient(url)
    outcomes = {}
    for name, ask in {"load": client.load_model, "unload": client.unload_model}.items():
        try:
            ask("nobody")
            outcomes[name] = "OK"
        except InferenceServerException as error:
            outcomes[name] = failure(error)
    return outcomes


def settings(url, model):
    client = grpc.InferenceServerClient(url)
    outcomes = {
        "trace": client.get_trace_settings(model, as_json=True),
        "log": client.get_log_settings(as_json=True),
        "system shared memory": client.get_system_shared_memory_status(as_json=True),
        "cuda shared memory": client.get_cuda_shared_memory_status(as_json=True),
    }
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    refused = {
        "update trace": lambda: client.update_trace_settings(model, {"trace_level": ["TIMESTAMPS"]}),
        "update log": lambda: client.update_log_settings({"log_verbose_level": 1}),
        "register": lambda: client.register_system_shared_memory("region", "/region", 64),
    }
    for name, ask in refused.items():
        try:
            ask()
            outcomes[name] = "OK"
        except InferenceServerException as error:
            outcomes[name] = failure(error)
    return outcomes


if __name__ == "__main__":
    main({each.__name__: each for each in (describe, statistics, index, unload_and_load, unload_unknown, settings)})
