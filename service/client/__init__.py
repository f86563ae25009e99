"""The Python client, sync and async: arrays in, arrays out. Needs neither torch nor the Open Inference stubs.

    with Client("localhost:8001") as client:
        answer = client.predict("digits", x)                        # one sequence [T, F] → its answer
        answers = client.predict("digits/3", [x, y, z])             # sequences of different lengths → a list
        batch = client.predict("digits@canary", xs, lengths=[8, 5]) # a padded batch [B, T, F] → a batch
        client.promote("digits", 4)                                 # version 4 answers from now on
        client.publish("digits", folder, alias="canary")            # the next version, checked by the server

        with client.sequence("digits") as s:            # a live sequence: the server keeps its state
            answer = s.feed(x)                          # the next steps [T, F] → the answer for everything fed so far

    async with AsyncClient("grpcs://models.example:8001", token=token) as client:
        answers = await asyncio.gather(*(client.predict("digits", x) for x in xs))

Which inputs are one sequence, a list or a batch is told in cellserve.service.client.rows; what else a call takes, in RunOptions.
Every call has a deadline, is sent again where that is safe and promising (RetryPolicy), and raises the errors of
cellserve.service.errors and cellserve.service.client.errors. This module only gathers the names.
"""

from __future__ import annotations

from cellserve.service.client.async_client import AsyncClient
from cellserve.service.client.call import RunOptions
from cellserve.service.client.errors import (
    BadReply,
    CallFailed,
    FeedUnsettled,
    MessageTooLarge,
    MethodMissing,
    ServerNotTrusted,
    ServiceUnavailable,
)
from cellserve.service.client.files import ClientFiles
from cellserve.service.client.live.async_sequence import AsyncLiveSequence
from cellserve.service.client.live.info import SequenceInfo
from cellserve.service.client.live.replay import ReplayLimits
from cellserve.service.client.live.sync_sequence import LiveSequence
from cellserve.service.client.prediction import Prediction
from cellserve.service.client.publishing.changes import AliasMeaning, Change, PublishedVersion, Verdict
from cellserve.service.client.registry import AliasMoved, ImplementationChoice, InputTensor, ModelDescription, ModelVersion
from cellserve.service.client.requests import PartLimits
from cellserve.service.client.retry import RetryPolicy
from cellserve.service.client.stream import StreamBroken
from cellserve.service.client.sync_client import Client
from cellserve.service.errors import AccessDenied, ServiceError

__all__ = [
    "AccessDenied",
    "AliasMeaning",
    "AliasMoved",
    "AsyncClient",
    "AsyncLiveSequence",
    "BadReply",
    "CallFailed",
    "Change",
    "Client",
    "ClientFiles",
    "FeedUnsettled",
    "ImplementationChoice",
    "InputTensor",
    "LiveSequence",
    "MessageTooLarge",
    "MethodMissing",
    "ModelDescription",
    "ModelVersion",
    "PartLimits",
    "Prediction",
    "PublishedVersion",
    "ReplayLimits",
    "RetryPolicy",
    "RunOptions",
    "SequenceInfo",
    "ServerNotTrusted",
    "ServiceError",
    "ServiceUnavailable",
    "StreamBroken",
    "Verdict",
]
