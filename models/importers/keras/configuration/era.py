"""What one Keras version means by the names it writes: the same word names different arithmetic in different years.

Sources: keras-team/keras tags 0.1.0 to 2.3.1, tf-keras and Keras 3. Knows no layers' translation and no files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from cellserve.models.description.layers.activation import ActivationName
from cellserve.models.description.layers.recurrent import MaskRule
from cellserve.models.errors import ImportRefused


@dataclass(frozen=True, slots=True)
class Era:
    """`version`: as written ("2.2.4-tf"); `release`: its numbers; `backend`: "tensorflow", "theano" …, "" where unsaid."""

    version: str
    release: tuple[int, int, int]
    backend: str

    @classmethod
    def of(cls, version: object, backend: object, source: str) -> Era:
        """Raises ImportRefused: no version, an unreadable one, or one whose meaning is not known here."""
        written = _text(version)
        numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", written)
        if numbers is None:
            raise ImportRefused(
                source,
                "the file does not say which Keras version wrote it, and versions differ in arithmetic; name it with "
                '`keras_version: "1.2.2"` in a --description',
            )
        release = (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0))
        if not (0, 1, 0) <= release < (4, 0, 0):
            raise ImportRefused(source, f"written by Keras {written}, which is not known here (0.1 to 3 are)")
        return cls(written, release, _text(backend))

    @property
    def is_legacy(self) -> bool:
        """Keras 0 and 1, which named options differently."""
        return self.release < (2, 0, 0)

    @property
    def is_keras_3(self) -> bool:
        return self.release[0] == 3

    @property
    def is_tf_keras(self) -> bool:
        """TensorFlow's own Keras: from 2.4 on there is no other, before that its versions end in "-tf"."""
        return not self.is_keras_3 and (self.version.endswith("-tf") or self.release >= (2, 4, 0))

    @property
    def is_standalone(self) -> bool:
        """Keras before 2.4, over Theano, TensorFlow or another backend."""
        return not self.is_keras_3 and not self.is_tf_keras

    @property
    def framework(self) -> str:
        return "tf.keras" if self.is_tf_keras else "keras"

    @property
    def hard_sigmoid(self) -> ActivationName:
        return "hard_sigmoid_relu6" if self.is_keras_3 else "hard_sigmoid"

    def default_activation(self, before: str) -> str:
        """For configurations that leave it out: 0.3.3 made it tanh everywhere. `before`: what it was until then."""
        return before if self.release < (0, 3, 3) else "tanh"

    def default_recurrent_activation(self, before: str) -> str:
        """Likewise: 2.3.0 changed it; TensorFlow 1's tf.keras had the old one."""
        return before if self.release < (2, 3, 0) else "sigmoid"

    def mask_rule(self, *, unroll: bool, zero_output_for_mask: bool, return_sequences: bool) -> MaskRule:
        """What becomes of a masked step.

        Keras 0.3.0 and 0.3.1 took masks only where sequences are returned; Keras 1.0.8 to 2.2 on TensorFlow's symbolic loop
        starts from the carried state.
        """
        if self.release < (0, 1, 2):
            return "ignore"
        if self.release < (0, 3, 0):
            return "reset"
        if self.release < (0, 3, 2):
            return "zero_or_empty" if return_sequences else "ignore"
        if zero_output_for_mask:
            return "zero"
        symbolic = self.backend == "tensorflow" and not unroll
        return "repeat_from_state" if self.is_standalone and (1, 0, 8) <= self.release < (2, 3, 0) and symbolic else "repeat"

    @property
    def bidirectional_zeroes_masked_sequences(self) -> bool:
        """tf.keras (from TensorFlow 1.14, which writes 2.2.4-tf) and Keras 3 force it whenever sequences are returned."""
        return self.is_keras_3 or (self.is_tf_keras and self.release >= (2, 2, 4))

    @property
    def merges_count_where(self) -> Literal["all", "any", "always"]:
        """Which steps of a merge of masked sequences count. Keras 3 before 3.4 looked for one mask on the list of its inputs."""
        if not self.is_keras_3:
            return "all"
        return "any" if self.release >= (3, 4, 0) else "always"

    @property
    def forgets_masks_beside_states(self) -> bool:
        """Keras 3 finds the mask of an input by itself only where a layer is called with one tensor: not with initial states."""
        return self.is_keras_3

    @property
    def scales_dropout_outside_training(self) -> bool:
        """Keras before 0.3 dropped without making up for it, and multiplied by the share that is kept afterwards."""
        return self.release < (0, 3, 0)

    @property
    def keeps_deviations(self) -> bool:
        """Batch normalization before 1.0.6 kept a running deviation, which 1.0.6 made a variance and went on calling "std"."""
        return self.release < (1, 0, 6)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)
