"""The two conditions of a network: its trained weights, and the same weights permuted.

The published scripts call the second one ``randnetw`` ("random network"): a flag on the command
line, the end of file names and a part of the names of results. Figures and tables call the two
trained and permuted. Every one of these spellings stands here and nowhere else.
"""

from enum import Enum

from aud_dnn.models.registry import BASELINE_MODEL


class Condition(str, Enum):
    """A network as it was trained, or with the values of every weight tensor permuted.

    Members are strings, so that they may stand where a table or a data set names a condition.

    Examples
    --------
    >>> Condition.of(randnetw=True)
    <Condition.PERMUTED: 'permuted'>
    >>> Condition.PERMUTED.suffix, Condition.PERMUTED.randnetw
    ('_randnetw', True)
    >>> Condition.PERMUTED == "permuted", f"the {Condition.PERMUTED} network"
    (True, 'the permuted network')
    """

    TRAINED = "trained"
    PERMUTED = "permuted"

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]

    @classmethod
    def of(cls, randnetw: bool) -> "Condition":
        """The condition that ``--randnetw`` asks for."""
        return cls.PERMUTED if randnetw else cls.TRAINED

    @property
    def randnetw(self) -> bool:
        """What ``--randnetw`` and the names of published results say."""
        return self is Condition.PERMUTED

    @property
    def suffix(self) -> str:
        """The end of the names of files: ``_randnetw``, or nothing."""
        return "_randnetw" if self.randnetw else ""

    @property
    def label(self) -> str:
        """What legends of figures say."""
        return f"{self.value.capitalize()} network"

    def exists_for(self, model: str) -> bool:
        """Whether the model has this condition.

        The baseline has no weights. It has no permuted version and stands in for its own.
        """
        return self is Condition.TRAINED or model != BASELINE_MODEL


CONDITIONS = tuple(condition.value for condition in Condition)
"""The names, in the order of tables and data sets."""
