"""A second device that is not there: finds operations on tensors of two devices without a GPU.

    python tests/far_device.py notebooks/03_views.ipynb …    # a chapter's code, on “cuda”

Inside `far()` PyTorch claims to have a GPU. Tensors that are sent there, or made there, are `Far`:
they compute on the CPU, in another order of sums, and refuse what a GPU's tensors refuse: an
operation with a tensor of the host, `numpy()`, a generator of the host. Random draws there are
others than the CPU's.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

CUDA = torch.device("cuda", 0)
T = torch.Tensor
NO_HOOKS = torch._C.DisableTorchFunctionSubclass
#: Operations in which a tensor of the host may meet one of the device.
MIXED = {T.copy_, T.__setitem__, T.__getitem__, T.to, T.backward, torch.Tensor.module_load,
         T.data.__set__, T.grad.__set__, T.index_put, T.index_put_, torch.index_put, T.type_as}
#: Functions for whose value the host waits until the device has come so far.
WAITING = {T.cpu, T.item, T.tolist, T.__bool__, T.__float__, T.__int__, T.__index__, T.nonzero,
           T.__format__}
#: Functions that read a tensor of the host alone.
HOST_ONLY = {T.numpy, T.__array__}


class Far(torch.Tensor):
    """A tensor that claims to lie on the second device."""


class FarGenerator(torch._C.Generator):
    """A generator of the device: its draws are not those of the CPU's from the same seed."""

    device = CUDA

    def __new__(cls, *_):
        return super().__new__(cls, "cpu")

    def manual_seed(self, seed: int) -> FarGenerator:
        return super().manual_seed((seed * 2_654_435_761 + 12_345) % 2**63)


def is_far(device) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def plain(value):
    """A far tensor as the CPU's that it is."""
    if isinstance(value, Far):
        with NO_HOOKS():
            return value.as_subclass(T)
    return value


def sent(value):
    if type(value) is T:
        value.__class__ = Far
    return value


class FarMode(TorchFunctionMode):
    """Gives each call of PyTorch the rules of two devices."""

    def __init__(self):
        super().__init__()
        self.default = FarGenerator().manual_seed(0)
        self.waits = 0  # how often the host asked the device for a value

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, T)]
        some = any(isinstance(t, Far) for t in tensors)
        self.waits += some and func in WAITING
        if func in (T.is_cuda.__get__, T.is_cpu.__get__):
            return some == (func == T.is_cuda.__get__)
        if func is torch._has_compatible_shallow_copy_type:
            return len({isinstance(t, Far) for t in tensors}) == 1
        if some and func == T.device.__get__:
            return CUDA
        if some and func in HOST_ONLY:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if some and func is T.__format__:
            return format(plain(args[0]), args[1])
        if some and func is T.__deepcopy__:
            return self.copied(args[0])
        if func in (T.to, T.cuda, T.cpu):
            return self.move(func, args, kwargs)
        if getattr(func, "__name__", "") == "__get__" or func in (T.size, T.dim, T.__len__):
            return self.call(func, args, kwargs, some)
        self.check(func, args, tensors, some)
        return self.draw(func, args, kwargs, some)

    def check(self, func, args, tensors, some):
        """Refuse a host's tensor beside a far one; single numbers may be on the host."""
        if func in (T.__getitem__, T.__setitem__) and not isinstance(args[0], Far):
            if any(isinstance(t, Far) for t in pytree.tree_leaves(args[1])):
                raise RuntimeError("indices should be either on cpu or on the same device as the "
                                   "indexed tensor (cpu)")
        elif some and func not in MIXED and any(not isinstance(t, Far) and t.ndim for t in tensors):
            raise RuntimeError("Expected all tensors to be on the same device, but found at least "
                               f"two devices, cuda:0 and cpu! ({getattr(func, '__name__', func)})")

    def draw(self, func, args, kwargs, some):
        """Where the result lies, and whose random numbers it takes."""
        at = kwargs.pop("device", None)
        far = some if at is None else is_far(at)
        if at is not None and not far:
            kwargs["device"] = at
        generator = kwargs.get("generator")
        if generator is not None and isinstance(generator, FarGenerator) != far:
            here, there = ("cuda", "cpu") if far else ("cpu", "cuda")
            raise RuntimeError(f"Expected a '{here}' device type for generator but found '{there}'")
        with other_draws(self.default) if far and generator is None else contextlib.nullcontext():
            return self.call(func, args, kwargs, far)

    def call(self, func, args, kwargs, far):
        with NO_HOOKS():
            made = (_linear if far and func in LINEAR else func)(*args, **kwargs)
            return pytree.tree_map(sent, made) if far else made

    def move(self, func, args, kwargs):
        value, *rest = args
        where, dtype = {T.cuda: CUDA, T.cpu: torch.device("cpu")}.get(func), None
        if where is None and rest and isinstance(rest[0], T):
            where, dtype = CUDA if isinstance(rest[0], Far) else torch.device("cpu"), rest[0].dtype
        elif where is None:
            where, dtype, *_ = torch._C._nn._parse_to(*rest, **kwargs)
        far = isinstance(value, Far) if where is None else is_far(where)
        with NO_HOOKS():
            bare = plain(value)
            made = bare.to(dtype or bare.dtype, copy=bool(kwargs.get("copy")))
            if far == isinstance(value, Far) and made is bare:
                return value
            if made is bare:
                made = bare.clone()
        return sent(made) if far else made

    def copied(self, value):
        with NO_HOOKS():
            made = sent(plain(value).detach().clone())
            made.requires_grad_(value.requires_grad)
            if getattr(value, "_is_param", False) or isinstance(value, torch.nn.Parameter):
                made._is_param = True
        return made


def _linear(x, weight, bias=None):
    """Sums in the other direction: a GPU rounds otherwise than a CPU."""
    return torch.nn.functional.linear(x.flip(-1), weight.flip(-1), bias)


LINEAR = {torch._C._nn.linear, torch.nn.functional.linear}


@contextlib.contextmanager
def other_draws(generator: FarGenerator):
    """The device's own stream in place of the CPU's."""
    mine = torch.default_generator
    before = mine.get_state()
    mine.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(mine.get_state())
        mine.set_state(before)


@contextlib.contextmanager
def far():
    """PyTorch with a GPU that is not there."""
    mode = FarMode()
    seed, generator, save = torch.manual_seed, torch.Generator, torch.save

    class Generator(generator):
        def __new__(cls, device="cpu"):
            return FarGenerator() if is_far(device) else generator.__new__(generator, device)

    def manual_seed(value):
        mode.default.manual_seed(value)
        return seed(value)

    def home(obj, *args, **kwargs):
        with NO_HOOKS():
            obj = pytree.tree_map(lambda v: plain(v).detach() if isinstance(v, Far) else v, obj)
        return save(obj, *args, **kwargs)

    autocast = torch.autocast
    cuda = dict(
        is_available=lambda: True, is_bf16_supported=lambda **_: True, current_device=lambda: 0,
        get_device_name=lambda *_: "a device that is not there", default_generators=(mode.default,),
        manual_seed=mode.default.manual_seed, max_memory_allocated=lambda *_: 1 << 20,
        reset_peak_memory_stats=lambda *_: None)
    with (mock.patch.multiple(torch.cuda, **cuda),
          mock.patch.multiple(torch.random, fork_rng=_fork(mode), manual_seed=manual_seed),
          mock.patch.multiple(
              torch, Generator=Generator, manual_seed=manual_seed, save=home,
              autocast=lambda _, *args, **kwargs: autocast("cpu", *args, **kwargs)),
          mode):
        yield mode


def _fork(mode):
    fork = torch.random.fork_rng

    @contextlib.contextmanager
    def forked(devices=(), **kwargs):
        state = mode.default.get_state()
        with fork(devices=[]):
            yield
        mode.default.set_state(state)
    return forked


def chapter(path: Path) -> list[str]:
    """The errors of a chapter's code cells on the far device, run in its folder."""
    names, errors = {"__name__": "__main__"}, []
    with contextlib.chdir(path.parent), far():
        for n, cell in enumerate(json.loads(path.read_text())["cells"]):
            if cell["cell_type"] != "code" or "nbval-skip" in cell["metadata"].get("tags", []):
                continue
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile("".join(cell["source"]), f"cell {n}", "exec"), names)
            except Exception as error:  # noqa: BLE001  each is a finding
                at = [each.lineno for each in traceback.extract_tb(error.__traceback__)
                      if each.filename.startswith("cell")]
                errors.append(f"{path.name} cell {n} line {at[-1:]}: "
                              f"{type(error).__name__}: {str(error)[:200]}")
    return errors


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("agg")
    sys.exit("\n".join(fault for name in sys.argv[1:] for fault in chapter(Path(name).resolve()))
             or None)
