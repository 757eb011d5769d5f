"""Power spectra: a transform writes the squares' sums of its bins where nothing else reads the bins."""

from __future__ import annotations

from arenaut.ir.dims import is_nonnegative
from arenaut.ir.place import Place
from arenaut.lowering.families import family_of
from arenaut.lowering.live import Uses
from arenaut.lowering.program import Lowered, LoweredStep, Segment, StepKind
from arenaut.plain import replace


def take_powers(lowered: Lowered) -> Lowered:
    """The program with each such transform and the sum of squares that reads it as one step."""
    if not any(family_of(step).power for step in lowered.steps):
        return lowered
    uses = Uses(lowered)
    gone: set[int] = set()  # steps, by number
    dropped: set[int] = set()  # buffers
    joined: dict[int, LoweredStep] = {}
    for i, step in enumerate(lowered.steps):
        reader = _only_reader(lowered, uses, i)
        if reader is not None:
            power, read = lowered.steps[reader].outputs, lowered.steps[reader].inputs[0]
            signal, spectrum = step.inputs[0], step.outputs[0]
            assert read is not None and signal is not None and spectrum is not None
            lines = replace(signal, dims=(*read.dims[:-2], *signal.dims[-2:]))
            params = {**step.params, "power": 1}
            joined[i] = replace(step, inputs=[lines, *step.inputs[1:]], outputs=power, params=params)
            gone.add(reader)
            dropped.add(spectrum.buffer)
    if not joined:
        return lowered
    steps = [joined.get(i, step) for i, step in enumerate(lowered.steps) if i not in gone]
    return lowered.rewritten(lowered.buffers, steps, dropped)


def _only_reader(lowered: Lowered, uses: Uses, index: int) -> int | None:
    """The step that sums the squares of both parts of each bin, where nothing else looks at them."""
    step = lowered.steps[index]
    if step.kind is not StepKind.KERNEL or not family_of(step).power or step.params["inverse"]:
        return None
    spectrum = step.outputs[0]
    if spectrum is None or lowered.buffers[spectrum.buffer].segment is not Segment.ARENA or spectrum.dims[-1] != 2:
        return None
    users = {*uses.readers.get(spectrum.buffer, ()), *uses.writers[spectrum.buffer]} - {index}
    if len(users) != 1:
        return None
    (only,) = users
    reader = lowered.steps[only]
    squares = family_of(reader).squares
    if reader.kind is not StepKind.KERNEL or squares is None or squares(reader) != spectrum.rank - 1:
        return None
    read, out = reader.inputs[0], reader.outputs[0]
    if read is None or out is None or out.dtype is not spectrum.dtype or not _first_lines(read, spectrum):
        return None
    # The transform runs before the sum did: what that writes must be written by nothing else.
    return only if uses.writers[out.buffer] == [only] else None


def _first_lines(read: Place, spectrum: Place) -> bool:
    """Whether it is the spectrum, but perhaps for the last of its lines along some axes."""
    alike = (read.dtype, read.strides, read.offset, read.dims[-2:])
    if alike != (spectrum.dtype, spectrum.strides, spectrum.offset, spectrum.dims[-2:]):
        return False
    return all(is_nonnegative(whole - part) for part, whole in zip(read.dims, spectrum.dims, strict=True))
