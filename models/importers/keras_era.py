"""What one Keras version means by the names it writes: the same word names different arithmetic in different years.

Sources: keras-team/keras tags 2.0.0 to 2.3.1, tf-keras and Keras 3. Knows no layers and no files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cellserve.models.errors import ImportRefused
from cellserve.models.spec import ActivationName, MaskRule


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
                "the file does not say which Keras version wrote it, and versions differ in arithmetic. Keras 0.x and 1.x files "
                "are not supported yet; save the model again with Keras 2 or newer",
            )
        release = (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0))
        if release[0] < 2:
            raise ImportRefused(
                source,
                f"written by Keras {written}: files of Keras 0.x and 1.x are not supported yet; convert it with Keras 2 first",
            )
        if release[0] > 3:
            raise ImportRefused(source, f"written by Keras {written}, which is newer than any known here (Keras 2 and 3)")
        return cls(written, release, _text(backend))

    @property
    def is_keras_3(self) -> bool:
        return self.release[0] == 3

    @property
    def is_tf_keras(self) -> bool:
        """TensorFlow's own Keras: from 2.4 on there is no other, before that its versions end in "-tf"."""
        return not self.is_keras_3 and (self.version.endswith("-tf") or self.release >= (2, 4, 0))

    @property
    def is_standalone_2(self) -> bool:
        return not self.is_keras_3 and not self.is_tf_keras

    @property
    def framework(self) -> str:
        return "tf.keras" if self.is_tf_keras else "keras"

    @property
    def hard_sigmoid(self) -> ActivationName:
        return "hard_sigmoid_relu6" if self.is_keras_3 else "hard_sigmoid"

    @property
    def default_recurrent_activation(self) -> str:
        """For configurations that leave it out: 2.3.0 changed it, and TensorFlow 1's tf.keras had the old one."""
        return "hard_sigmoid" if self.release < (2, 3, 0) else "sigmoid"

    def mask_rule(self, *, unroll: bool, zero_output_for_mask: bool) -> MaskRule:
        """What a masked step emits. Only Keras 2.0 to 2.2 on TensorFlow's symbolic loop starts from the carried state."""
        if zero_output_for_mask:
            return "zero"
        symbolic = self.backend == "tensorflow" and not unroll
        return "repeat_from_state" if self.is_standalone_2 and self.release < (2, 3, 0) and symbolic else "repeat"

    @property
    def bidirectional_zeroes_masked_sequences(self) -> bool:
        """tf.keras (from TensorFlow 1.14, which writes 2.2.4-tf) and Keras 3 force it whenever sequences are returned."""
        return self.is_keras_3 or (self.is_tf_keras and self.release >= (2, 2, 4))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)
