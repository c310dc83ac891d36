"""KUIELab's MDX-Net: one stem, by a network on the complex spectrogram.

The four networks have different frame lengths, and so different chunks, and a network's output
depends on where a chunk starts. So each stem is a separate recipe member. Leaderboard A's mixer is
linear: it computes each channel of each stem from all estimates e_j and the mixture x,

    stem_i = sum_j A_ij e_j + B_i x.

With the mixer, the member of stem j returns A_ij e_j for all stems i, plus B_j x for its own stem;
the sum of four such members is the output of the mixer. The recipes mdx_net_a and mdx_net_b show
both forms.

Chunks do not overlap; half a frame of context at both ends is discarded, also at the ends of the
song. Each chunk is mirrored at its ends for the first and last frames.

Source: Kim, Choi, Chung, Lee, Jung, "KUIELab-MDX-Net: a two-stream neural network for music
demixing", MDX workshop 2021.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import CheckpointError, ConfigError
from demixing.networks.stft import istft, stft
from demixing.networks.tfc_tdf import CHANNELS, as_channels, as_spectrum
from demixing.plugins import did_you_mean
from demixing.separator import Chunking, SongEnd
from demixing.weights import checkpoints
from demixing.weights.onnx_session import InferenceSession

STEMS = ("bass", "drums", "other", "vocals")
"""Stems in the order of the mixer."""

FRAME_BINS = {"bass": 8, "drums": 2, "other": 4, "vocals": 3}
"""Ratio of the frame length in samples to the number of bins that the network reads."""

FRAME_HOP = 1024


class Share(NamedTuple):
    """The weights of the mixer for one estimate.

    Attributes:
        estimate: A_ij of the module, for each stem and channel the weights of the estimate's
            channels, ``(stems, 2, 2)``.
        mixture: weights of the mixture's channels, ``(stems, 2, 2)``; B_j for the stem of the
            estimate, and zeros for the others.
    """

    estimate: Tensor
    mixture: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MDXNet:
    """One network at 44.1 kHz.

    Attributes:
        session: the network, maps spectrograms ``(batch, 4, bins, frames)`` to the stem's.
        stems: the stem; with a mixer, all stems.
        frame: length of the STFT's window in samples.
        frame_hop: hop of the STFT in samples.
        chunking: chunks with the number of frames of the network.
        share: of the estimate in each stem; None: no mixer.
        denoise: also run the network on the mixture with inverted polarity, and average both
            outputs: this cancels the output for silence, at twice the cost.
        answers_silence: see :func:`demixing.separator.answers_silence`.
        sample_rate_hz: the rate that the network was trained at.
    """

    session: InferenceSession
    stems: tuple[str, ...]
    frame: int
    frame_hop: int
    chunking: Chunking
    share: Share | None = None
    denoise: bool = False
    answers_silence: bool = True
    sample_rate_hz: int = 44_100

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        _, _, bins, _ = self.session.get_inputs()[0].shape
        spectrum = stft(chunks, self.frame, self.frame_hop, pad_mode="reflect")[..., :bins, :]
        stem = self._run(as_channels(spectrum))
        if self.denoise:
            stem = (stem - self._run(-as_channels(spectrum))) / 2
        above = self.frame // 2 + 1 - bins
        full = F.pad(as_spectrum(stem), (0, 0, 0, above))
        estimate = istft(full, self.frame, self.frame_hop, chunks.shape[-1])
        if self.share is None:
            return estimate[:, None]
        shared = torch.einsum("scd,bdt->bsct", self.share.estimate, estimate)
        return shared + torch.einsum("scd,bdt->bsct", self.share.mixture, chunks)

    def _run(self, channels: Tensor) -> Tensor:
        """Run the network on ``(batch, 4, bins, frames)``."""
        name = self.session.get_inputs()[0].name
        return torch.from_numpy(self.session.run(None, {name: channels.numpy()})[0])


def build(
    stem: str = "vocals",
    leaderboard: str = "a",
    mixer: str | None = None,
    *,
    denoise: bool = False,
    skip_silence: bool = False,
) -> MDXNet:
    """Load the network of one stem.

    Args:
        stem: bass, drums, other or vocals.
        leaderboard: "a" (trained on MUSDB18-HQ without its test songs) or "b" (with them).
        mixer: name of the mixer's weights in the catalogue, mdx_net_mixer for leaderboard A; then
            the outputs are this estimate's parts of all four stems. None: no mixer.
        denoise: see :class:`MDXNet`.
        skip_silence: do not separate silent chunks, which saves time; their stems are silent. The
            authors' networks answer silence with faint noise.

    Raises:
        CheckpointError: a file is missing, altered or for another network.
        ConfigError: there is no such stem or leaderboard.
    """
    for what, value, known in (
        ("stem", stem, STEMS),
        ("leaderboard", leaderboard, ("a", "b")),
    ):
        if value not in known:
            raise ConfigError(f"MDX-Net has no {what} {value!r}{did_you_mean(value, list(known))}")
    session = checkpoints.session(checkpoints.find(f"mdx_net_{leaderboard}_{stem}"))
    share = None
    if mixer is not None:
        share = shared(stem, checkpoints.load(checkpoints.find(mixer)))
    return adapt(session, stem, share=share, denoise=denoise, skip_silence=skip_silence)


def required_weights(
    stem: str = "vocals", leaderboard: str = "a", mixer: str | None = None
) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [f"mdx_net_{leaderboard}_{stem}", *([mixer] if mixer is not None else [])]


def adapt(
    session: InferenceSession,
    stem: str,
    *,
    frame_hop: int = FRAME_HOP,
    share: Share | None = None,
    denoise: bool = False,
    skip_silence: bool = False,
) -> MDXNet:
    """Build a separator from an open network, whose input shape determines the chunk length.

    Args:
        session: the network.
        stem: bass, drums, other or vocals.
        frame_hop: hop of the STFT in samples.
        share: see :class:`MDXNet`.
        denoise: see :class:`MDXNet`.
        skip_silence: see :func:`build`.

    Raises:
        CheckpointError: the network is not one of MDX-Net's.
    """
    shape = session.get_inputs()[0].shape
    sizes = shape[1:] if len(shape) == 4 else []
    if not sizes or sizes[0] != CHANNELS or not all(isinstance(size, int) for size in sizes):
        raise CheckpointError(
            f"expected a network of MDX-Net with inputs (batch, {CHANNELS}, bins, frames), "
            f"got one with inputs {shape}"
        )
    _, bins, frames = sizes
    frame, chunk = FRAME_BINS[stem] * bins, (frames - 1) * frame_hop
    if chunk <= frame:
        raise CheckpointError(
            f"expected a network that reads more than a frame of {frame} samples at once, "
            f"got one for {frames} frames of {frame_hop} samples"
        )
    return MDXNet(
        session=session,
        stems=(stem,) if share is None else STEMS,
        frame=frame,
        frame_hop=frame_hop,
        chunking=Chunking(chunk=chunk, hop=chunk - frame, context=frame // 2, end=SongEnd.PADDED),
        share=share,
        denoise=denoise,
        answers_silence=not (denoise or skip_silence),
    )


def shared(stem: str, state: dict[str, Tensor]) -> Share:
    """Return the part of the mixer's weights that belongs to one estimate.

    Args:
        stem: of the estimate.
        state: of the mixer: ``linear.weight``, ``(8, 10)``, maps two channels of four estimates
            and the mixture to two channels of four stems.

    Raises:
        CheckpointError: these are not the weights of a mixer.
    """
    rows, columns = 2 * len(STEMS), 2 * len(STEMS) + 2
    weight = state.get("linear.weight", torch.empty(0))
    if len(state) != 1 or weight.shape != (rows, columns):
        raise CheckpointError(
            f"expected a mixer's linear.weight of {rows} by {columns}, got {', '.join(state)}"
        )
    index = STEMS.index(stem)
    cells = weight.float().reshape(len(STEMS), 2, len(STEMS) + 1, 2)
    mixture = torch.zeros(len(STEMS), 2, 2)
    mixture[index] = cells[index, :, -1]
    return Share(estimate=cells[:, :, index].contiguous(), mixture=mixture)
