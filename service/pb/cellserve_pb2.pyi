from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FLOAT32: _ClassVar[DataType]
    FLOAT16: _ClassVar[DataType]
    BFLOAT16: _ClassVar[DataType]
    INT32: _ClassVar[DataType]
    INT64: _ClassVar[DataType]
    BOOL: _ClassVar[DataType]
FLOAT32: DataType
FLOAT16: DataType
BFLOAT16: DataType
INT32: DataType
INT64: DataType
BOOL: DataType

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Lengths(_message.Message):
    __slots__ = ("steps",)
    STEPS_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, steps: _Optional[_Iterable[int]] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("model", "version", "implementation", "return_state", "lengths", "inputs", "more_inputs", "mask", "state", "priority", "more_lengths", "precision")
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    RETURN_STATE_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MORE_INPUTS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MORE_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    implementation: str
    return_state: bool
    lengths: _containers.RepeatedScalarFieldContainer[int]
    inputs: Tensor
    more_inputs: _containers.RepeatedCompositeFieldContainer[Tensor]
    mask: Tensor
    state: _containers.MessageMap[str, Tensor]
    priority: int
    more_lengths: _containers.RepeatedCompositeFieldContainer[Lengths]
    precision: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., implementation: _Optional[str] = ..., return_state: bool = ..., lengths: _Optional[_Iterable[int]] = ..., inputs: _Optional[_Union[Tensor, _Mapping]] = ..., more_inputs: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., mask: _Optional[_Union[Tensor, _Mapping]] = ..., state: _Optional[_Mapping[str, Tensor]] = ..., priority: _Optional[int] = ..., more_lengths: _Optional[_Iterable[_Union[Lengths, _Mapping]]] = ..., precision: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "per_step", "tensor", "lengths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PER_STEP_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    per_step: bool
    tensor: Tensor
    lengths: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., per_step: bool = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., lengths: _Optional[_Iterable[int]] = ...) -> None: ...

class RunReply(_message.Message):
    __slots__ = ("model", "version", "implementation", "lengths", "outputs", "state", "queue_seconds", "compute_seconds", "iterations")
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    implementation: str
    lengths: _containers.RepeatedScalarFieldContainer[int]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    state: _containers.MessageMap[str, Tensor]
    queue_seconds: float
    compute_seconds: float
    iterations: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., implementation: _Optional[str] = ..., lengths: _Optional[_Iterable[int]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., state: _Optional[_Mapping[str, Tensor]] = ..., queue_seconds: _Optional[float] = ..., compute_seconds: _Optional[float] = ..., iterations: _Optional[int] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("id", "timeout_seconds", "run", "cancel", "open", "feed", "snapshot", "close")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    FEED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    timeout_seconds: float
    run: RunRequest
    cancel: Cancel
    open: OpenRequest
    feed: FeedRequest
    snapshot: SnapshotRequest
    close: CloseRequest
    def __init__(self, id: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., run: _Optional[_Union[RunRequest, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., open: _Optional[_Union[OpenRequest, _Mapping]] = ..., feed: _Optional[_Union[FeedRequest, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotRequest, _Mapping]] = ..., close: _Optional[_Union[CloseRequest, _Mapping]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamReply(_message.Message):
    __slots__ = ("id", "request_id", "run", "error", "open", "feed", "snapshot", "close")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    FEED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    run: RunReply
    error: Error
    open: OpenReply
    feed: FeedReply
    snapshot: SnapshotReply
    close: CloseReply
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., run: _Optional[_Union[RunReply, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., open: _Optional[_Union[OpenReply, _Mapping]] = ..., feed: _Optional[_Union[FeedReply, _Mapping]] = ..., snapshot: _Optional[_Union[SnapshotReply, _Mapping]] = ..., close: _Optional[_Union[CloseReply, _Mapping]] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "reason", "message", "field", "retry_after_seconds", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    field: str
    retry_after_seconds: float
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_seconds: _Optional[float] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("model", "version", "sequence_id", "restart", "state")
    class StateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Tensor, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    sequence_id: str
    restart: bool
    state: _containers.MessageMap[str, Tensor]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., sequence_id: _Optional[str] = ..., restart: bool = ..., state: _Optional[_Mapping[str, Tensor]] = ...) -> None: ...

class OpenReply(_message.Message):
    __slots__ = ("model", "version", "sequence_id", "position", "epoch")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    sequence_id: str
    position: int
    epoch: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., sequence_id: _Optional[str] = ..., position: _Optional[int] = ..., epoch: _Optional[str] = ...) -> None: ...

class FeedRequest(_message.Message):
    __slots__ = ("model", "sequence_id", "position", "epoch", "inputs", "more_inputs", "mask", "implementation", "return_state", "priority", "end", "precision")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MORE_INPUTS_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    RETURN_STATE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    position: int
    epoch: str
    inputs: Tensor
    more_inputs: _containers.RepeatedCompositeFieldContainer[Tensor]
    mask: Tensor
    implementation: str
    return_state: bool
    priority: int
    end: bool
    precision: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ..., position: _Optional[int] = ..., epoch: _Optional[str] = ..., inputs: _Optional[_Union[Tensor, _Mapping]] = ..., more_inputs: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., mask: _Optional[_Union[Tensor, _Mapping]] = ..., implementation: _Optional[str] = ..., return_state: bool = ..., priority: _Optional[int] = ..., end: bool = ..., precision: _Optional[str] = ...) -> None: ...

class FeedReply(_message.Message):
    __slots__ = ("sequence_id", "position", "epoch", "repeated", "answer")
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    sequence_id: str
    position: int
    epoch: str
    repeated: bool
    answer: RunReply
    def __init__(self, sequence_id: _Optional[str] = ..., position: _Optional[int] = ..., epoch: _Optional[str] = ..., repeated: bool = ..., answer: _Optional[_Union[RunReply, _Mapping]] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("model", "sequence_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ...) -> None: ...

class SnapshotReply(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: bytes
    def __init__(self, snapshot: _Optional[bytes] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("model", "snapshot", "sequence_id", "restart")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    model: str
    snapshot: bytes
    sequence_id: str
    restart: bool
    def __init__(self, model: _Optional[str] = ..., snapshot: _Optional[bytes] = ..., sequence_id: _Optional[str] = ..., restart: bool = ...) -> None: ...

class ForkRequest(_message.Message):
    __slots__ = ("model", "sequence_id", "new_sequence_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    new_sequence_id: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ..., new_sequence_id: _Optional[str] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("model", "sequence_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ...) -> None: ...

class CloseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("model", "sequence_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ...) -> None: ...

class ListSequencesRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListSequencesReply(_message.Message):
    __slots__ = ("sequences",)
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[SequenceInfo]
    def __init__(self, sequences: _Optional[_Iterable[_Union[SequenceInfo, _Mapping]]] = ...) -> None: ...

class SequenceInfo(_message.Message):
    __slots__ = ("model", "sequence_id", "version", "position", "epoch", "age_seconds", "idle_seconds", "bytes", "state", "replica")
    class Residence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[SequenceInfo.Residence]
        ACTIVE: _ClassVar[SequenceInfo.Residence]
        IDLE: _ClassVar[SequenceInfo.Residence]
        PARKED: _ClassVar[SequenceInfo.Residence]
    UNSPECIFIED: SequenceInfo.Residence
    ACTIVE: SequenceInfo.Residence
    IDLE: SequenceInfo.Residence
    PARKED: SequenceInfo.Residence
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    model: str
    sequence_id: str
    version: int
    position: int
    epoch: str
    age_seconds: float
    idle_seconds: float
    bytes: int
    state: SequenceInfo.Residence
    replica: str
    def __init__(self, model: _Optional[str] = ..., sequence_id: _Optional[str] = ..., version: _Optional[int] = ..., position: _Optional[int] = ..., epoch: _Optional[str] = ..., age_seconds: _Optional[float] = ..., idle_seconds: _Optional[float] = ..., bytes: _Optional[int] = ..., state: _Optional[_Union[SequenceInfo.Residence, str]] = ..., replica: _Optional[str] = ...) -> None: ...

class VersionStatus(_message.Message):
    __slots__ = ("model", "version", "state", "reason", "aliases", "memory_bytes")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[VersionStatus.State]
        LOADING: _ClassVar[VersionStatus.State]
        READY: _ClassVar[VersionStatus.State]
        UNLOADING: _ClassVar[VersionStatus.State]
        FAILED: _ClassVar[VersionStatus.State]
        UNLOADED: _ClassVar[VersionStatus.State]
    UNKNOWN: VersionStatus.State
    LOADING: VersionStatus.State
    READY: VersionStatus.State
    UNLOADING: VersionStatus.State
    FAILED: VersionStatus.State
    UNLOADED: VersionStatus.State
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    state: VersionStatus.State
    reason: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    memory_bytes: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[VersionStatus.State, str]] = ..., reason: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ListReply(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionStatus]
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionStatus, _Mapping]]] = ...) -> None: ...

class ShowRequest(_message.Message):
    __slots__ = ("model", "version", "manifest")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    manifest: bool
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., manifest: bool = ...) -> None: ...

class ShowReply(_message.Message):
    __slots__ = ("status", "versions", "inputs", "outputs", "states", "implementations", "causal", "parity_bound", "source", "notes", "weights_digest", "created_unix_seconds", "tags", "parameters", "labels", "manifest", "published_by", "alias_history", "splits", "rollouts")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    IMPLEMENTATIONS_FIELD_NUMBER: _ClassVar[int]
    CAUSAL_FIELD_NUMBER: _ClassVar[int]
    PARITY_BOUND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_BY_FIELD_NUMBER: _ClassVar[int]
    ALIAS_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    status: VersionStatus
    versions: _containers.RepeatedScalarFieldContainer[int]
    inputs: _containers.RepeatedCompositeFieldContainer[InputDescription]
    outputs: _containers.RepeatedCompositeFieldContainer[OutputDescription]
    states: _containers.RepeatedCompositeFieldContainer[StateDescription]
    implementations: _containers.RepeatedCompositeFieldContainer[Implementation]
    causal: bool
    parity_bound: float
    source: Source
    notes: _containers.RepeatedScalarFieldContainer[str]
    weights_digest: str
    created_unix_seconds: float
    tags: _containers.ScalarMap[str, str]
    parameters: int
    labels: _containers.ScalarMap[str, str]
    manifest: bytes
    published_by: str
    alias_history: _containers.RepeatedCompositeFieldContainer[AliasMove]
    splits: _containers.RepeatedCompositeFieldContainer[AliasSplit]
    rollouts: _containers.RepeatedCompositeFieldContainer[Rollout]
    def __init__(self, status: _Optional[_Union[VersionStatus, _Mapping]] = ..., versions: _Optional[_Iterable[int]] = ..., inputs: _Optional[_Iterable[_Union[InputDescription, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[OutputDescription, _Mapping]]] = ..., states: _Optional[_Iterable[_Union[StateDescription, _Mapping]]] = ..., implementations: _Optional[_Iterable[_Union[Implementation, _Mapping]]] = ..., causal: bool = ..., parity_bound: _Optional[float] = ..., source: _Optional[_Union[Source, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ..., weights_digest: _Optional[str] = ..., created_unix_seconds: _Optional[float] = ..., tags: _Optional[_Mapping[str, str]] = ..., parameters: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., manifest: _Optional[bytes] = ..., published_by: _Optional[str] = ..., alias_history: _Optional[_Iterable[_Union[AliasMove, _Mapping]]] = ..., splits: _Optional[_Iterable[_Union[AliasSplit, _Mapping]]] = ..., rollouts: _Optional[_Iterable[_Union[Rollout, _Mapping]]] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("alias", "version", "before", "seconds", "walked_seconds", "share", "state", "reason", "stop_if", "seen", "by", "began_unix_seconds")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Rollout.State]
        WALKING: _ClassVar[Rollout.State]
        PROMOTED: _ClassVar[Rollout.State]
        ROLLED_BACK: _ClassVar[Rollout.State]
        ENDED: _ClassVar[Rollout.State]
    UNSPECIFIED: Rollout.State
    WALKING: Rollout.State
    PROMOTED: Rollout.State
    ROLLED_BACK: Rollout.State
    ENDED: Rollout.State
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    WALKED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_IF_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_UNIX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    version: int
    before: int
    seconds: float
    walked_seconds: float
    share: float
    state: Rollout.State
    reason: str
    stop_if: str
    seen: str
    by: str
    began_unix_seconds: float
    def __init__(self, alias: _Optional[str] = ..., version: _Optional[int] = ..., before: _Optional[int] = ..., seconds: _Optional[float] = ..., walked_seconds: _Optional[float] = ..., share: _Optional[float] = ..., state: _Optional[_Union[Rollout.State, str]] = ..., reason: _Optional[str] = ..., stop_if: _Optional[str] = ..., seen: _Optional[str] = ..., by: _Optional[str] = ..., began_unix_seconds: _Optional[float] = ...) -> None: ...

class AliasSplit(_message.Message):
    __slots__ = ("alias", "split")
    class SplitEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    alias: str
    split: _containers.ScalarMap[int, float]
    def __init__(self, alias: _Optional[str] = ..., split: _Optional[_Mapping[int, float]] = ...) -> None: ...

class AliasMove(_message.Message):
    __slots__ = ("when_unix_seconds", "alias", "before", "after", "by", "found", "split", "why")
    class SplitEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    WHEN_UNIX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    when_unix_seconds: float
    alias: str
    before: int
    after: int
    by: str
    found: bool
    split: _containers.ScalarMap[int, float]
    why: str
    def __init__(self, when_unix_seconds: _Optional[float] = ..., alias: _Optional[str] = ..., before: _Optional[int] = ..., after: _Optional[int] = ..., by: _Optional[str] = ..., found: bool = ..., split: _Optional[_Mapping[int, float]] = ..., why: _Optional[str] = ...) -> None: ...

class InputDescription(_message.Message):
    __slots__ = ("name", "kind", "width", "vocabulary", "time_steps")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FEATURES: _ClassVar[InputDescription.Kind]
        IDS: _ClassVar[InputDescription.Kind]
        VECTOR: _ClassVar[InputDescription.Kind]
    FEATURES: InputDescription.Kind
    IDS: InputDescription.Kind
    VECTOR: InputDescription.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    TIME_STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: InputDescription.Kind
    width: int
    vocabulary: int
    time_steps: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[InputDescription.Kind, str]] = ..., width: _Optional[int] = ..., vocabulary: _Optional[int] = ..., time_steps: _Optional[int] = ...) -> None: ...

class OutputDescription(_message.Message):
    __slots__ = ("name", "per_step", "features", "time_steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PER_STEP_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TIME_STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    per_step: bool
    features: _containers.RepeatedScalarFieldContainer[int]
    time_steps: int
    def __init__(self, name: _Optional[str] = ..., per_step: bool = ..., features: _Optional[_Iterable[int]] = ..., time_steps: _Optional[int] = ...) -> None: ...

class StateDescription(_message.Message):
    __slots__ = ("name", "layer", "width")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    layer: str
    width: int
    def __init__(self, name: _Optional[str] = ..., layer: _Optional[str] = ..., width: _Optional[int] = ...) -> None: ...

class Implementation(_message.Message):
    __slots__ = ("label", "obstacle", "is_default", "difference", "precision", "bound")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    OBSTACLE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    label: str
    obstacle: str
    is_default: bool
    difference: float
    precision: str
    bound: float
    def __init__(self, label: _Optional[str] = ..., obstacle: _Optional[str] = ..., is_default: bool = ..., difference: _Optional[float] = ..., precision: _Optional[str] = ..., bound: _Optional[float] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("framework", "version", "file", "digest")
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    framework: str
    version: str
    file: str
    digest: str
    def __init__(self, framework: _Optional[str] = ..., version: _Optional[str] = ..., file: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("model", "alias", "version", "share", "gradually_seconds", "stop_if")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    GRADUALLY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STOP_IF_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    version: int
    share: float
    gradually_seconds: float
    stop_if: str
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[int] = ..., share: _Optional[float] = ..., gradually_seconds: _Optional[float] = ..., stop_if: _Optional[str] = ...) -> None: ...

class SetAliasReply(_message.Message):
    __slots__ = ("status", "previous_version", "split", "rollout")
    class SplitEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    status: VersionStatus
    previous_version: int
    split: _containers.ScalarMap[int, float]
    rollout: Rollout
    def __init__(self, status: _Optional[_Union[VersionStatus, _Mapping]] = ..., previous_version: _Optional[int] = ..., split: _Optional[_Mapping[int, float]] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("begin", "content")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    begin: PublishBegin
    content: FilePart
    def __init__(self, begin: _Optional[_Union[PublishBegin, _Mapping]] = ..., content: _Optional[_Union[FilePart, _Mapping]] = ...) -> None: ...

class PublishBegin(_message.Message):
    __slots__ = ("model", "publication_id", "files", "alias", "tags", "publisher")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHER_FIELD_NUMBER: _ClassVar[int]
    model: str
    publication_id: str
    files: _containers.RepeatedCompositeFieldContainer[FileDeclaration]
    alias: str
    tags: _containers.ScalarMap[str, str]
    publisher: str
    def __init__(self, model: _Optional[str] = ..., publication_id: _Optional[str] = ..., files: _Optional[_Iterable[_Union[FileDeclaration, _Mapping]]] = ..., alias: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., publisher: _Optional[str] = ...) -> None: ...

class FileDeclaration(_message.Message):
    __slots__ = ("name", "bytes", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    bytes: int
    digest: str
    def __init__(self, name: _Optional[str] = ..., bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class FilePart(_message.Message):
    __slots__ = ("name", "offset", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    offset: int
    data: bytes
    def __init__(self, name: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PublishReply(_message.Message):
    __slots__ = ("complete", "status", "repeated", "received", "notes")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    status: VersionStatus
    repeated: bool
    received: _containers.RepeatedCompositeFieldContainer[FileReceived]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, complete: bool = ..., status: _Optional[_Union[VersionStatus, _Mapping]] = ..., repeated: bool = ..., received: _Optional[_Iterable[_Union[FileReceived, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class FileReceived(_message.Message):
    __slots__ = ("name", "bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    bytes: int
    def __init__(self, name: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("model", "version", "alias")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    alias: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class DeleteReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LoadRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class LoadReply(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionStatus]
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionStatus, _Mapping]]] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UnloadReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("model", "resume_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    resume_token: str
    def __init__(self, model: _Optional[str] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchReply(_message.Message):
    __slots__ = ("resume_token", "version", "removed", "alias", "alias_removed", "begun", "current")
    class Begun(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    ALIAS_REMOVED_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    version: VersionStatus
    removed: VersionRef
    alias: AliasStatus
    alias_removed: AliasRef
    begun: WatchReply.Begun
    current: WatchReply.Begun
    def __init__(self, resume_token: _Optional[str] = ..., version: _Optional[_Union[VersionStatus, _Mapping]] = ..., removed: _Optional[_Union[VersionRef, _Mapping]] = ..., alias: _Optional[_Union[AliasStatus, _Mapping]] = ..., alias_removed: _Optional[_Union[AliasRef, _Mapping]] = ..., begun: _Optional[_Union[WatchReply.Begun, _Mapping]] = ..., current: _Optional[_Union[WatchReply.Begun, _Mapping]] = ...) -> None: ...

class VersionRef(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class AliasRef(_message.Message):
    __slots__ = ("model", "alias")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ...) -> None: ...

class AliasStatus(_message.Message):
    __slots__ = ("model", "alias", "version", "answering", "reason", "split")
    class SplitEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ANSWERING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    version: int
    answering: int
    reason: str
    split: _containers.ScalarMap[int, float]
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[int] = ..., answering: _Optional[int] = ..., reason: _Optional[str] = ..., split: _Optional[_Mapping[int, float]] = ...) -> None: ...

class RecordedRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class RecordedReply(_message.Message):
    __slots__ = ("inputs", "offered")
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[Tensor]
    offered: int
    def __init__(self, inputs: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., offered: _Optional[int] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("model", "version", "alias")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    alias: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class VerifyReply(_message.Message):
    __slots__ = ("model", "version", "aliases", "problem", "withdrawn")
    class WithdrawnEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    aliases: _containers.RepeatedScalarFieldContainer[str]
    problem: str
    withdrawn: _containers.ScalarMap[str, str]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., aliases: _Optional[_Iterable[str]] = ..., problem: _Optional[str] = ..., withdrawn: _Optional[_Mapping[str, str]] = ...) -> None: ...
