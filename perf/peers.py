"""The peers of perf/compare: other libraries that compute a problem string's attention.

  peers.py NAME      says "ready", then reads problem strings, a line each, and answers with JSON: the median of some runs in ms, and the
                     largest difference from what NumPy makes of the same tensors in f64; or an error, so that no two different
                     things are ever compared.
  peers.py --case FOLDER PROBLEM     writes the same tensors and NumPy's result as a case of `clattn run`."""
import json, os, re, statistics, sys, time

import numpy

THREADS = os.environ.get("OMP_NUM_THREADS", "2")

# ---- a problem: its shape and flags, its tensors, and what NumPy makes of it

TOKENS = {"type": r"(f32|f16|bf16)", "b": r"b(\d+)", "heads": r"h(\d+)(?:/(\d+))?", "n": r"n(\d+)", "q": r"q(\d+)", "k": r"k(\d+)", "d": r"d(\d+)",
          "causal": r"causal", "align": r"align=(top_left|bottom_right|offset:(-?\d+))", "win": r"win=(-?\d+),(-?\d+)",
          "softcap": r"softcap=([\d.]+)", "rounded": r"rounded", "alibi": r"alibi", "mask": r"mask=([BHQK]+)", "bias": r"bias=([BHQK]+)", "kv": r"kv=(q8_0|q4_0)",
          "pattern": r"pattern=(csr:(\d+)|block_sparse:(\d+),([\d.]+))"}


def rounded(x, dtype):
    """X, f32, with the values that DTYPE has."""
    if dtype == "f16":
        return x.astype("f2").astype("f4")
    if dtype == "bf16":  # to nearest, ties to even
        bits = x.view("u4")
        return ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).view("f4")
    return x


class Problem:
    """A problem string, as far as the peers understand such; another token is an error, not another problem."""

    def __init__(self, text):
        found = {}
        for token in text.split():
            name = next((n for n, pattern in TOKENS.items() if re.fullmatch(pattern, token)), None)
            if not name:
                raise ValueError(f"no peer is told what {token} is")
            found[name] = re.fullmatch(TOKENS[name], token).groups()
        number = lambda name, default: int(found.get(name, (default,))[0])
        self.b, self.hq, self.d = number("b", 1), int(found["heads"][0]), number("d", 64)
        self.hkv = int(found["heads"][1] or self.hq)
        self.q, self.k = number("q", number("n", 1)), number("k", number("n", 1))
        self.scale, self.group = self.d ** -0.5, self.hq // self.hkv
        self.type = found.get("type", ("f32",))[0]
        self.tolerance = {"f32": 1e-4, "f16": 2e-3, "bf16": 2e-2}[self.type]  # engines that round on purpose raise it
        align = found.get("align", ("bottom_right", None))
        self.offset = int(align[1]) if align[1] else 0 if align[0] == "top_left" else self.k - self.q
        self.causal, self.win = "causal" in found, tuple(map(int, found.get("win", (-1, -1))))
        self.softcap, self.kv = float(found.get("softcap", (0,))[0]), found.get("kv", (None,))[0]
        self.square = self.causal and self.win == (-1, -1) and self.offset == 0  # what is_causal means everywhere
        rng = numpy.random.default_rng(1)
        draw = lambda h, n: rounded(rng.standard_normal((self.b, h, n, self.d), dtype=numpy.float32), self.type)
        self.tq, self.tk, self.tv = draw(self.hq, self.q), draw(self.hkv, self.k), draw(self.hkv, self.k)
        shape = lambda letters: [n if c in letters else 1 for c, n in zip("BHQK", (self.b, self.hq, self.q, self.k))]
        self.mask = rng.random(shape(found["mask"][0])) < 0.5 if "mask" in found else None
        self.bias = rng.standard_normal(shape(found["bias"][0]), dtype=numpy.float32) if "bias" in found else None
        self.columns = self.layout = None
        self.pattern = "pattern" in found
        if self.pattern:
            only("a pattern here", *((name in found, name) for name in ("causal", "align", "win", "softcap", "alibi", "mask", "bias", "kv")))
            self.draw_pattern(rng, *found["pattern"][1:])
        self.slopes = 2.0 ** (-8 * numpy.arange(1, self.hq + 1, dtype=numpy.float32) / self.hq) if "alibi" in found else None

    def draw_pattern(self, rng, edges, block, share):
        """As `clattn bench` draws them: the edges of a row spread over all keys; each block of a layout with probability SHARE."""
        if edges:
            n = int(edges)
            self.columns = ((numpy.arange(n) + rng.random((self.q, n))) * self.k / n).astype("i4")
        else:
            self.block = int(block)
            self.layout = rng.random([-(-self.k // self.block)] * 2) < float(share)

    def listed(self):
        """Rows of queries and the keys that these see, [keys] or [rows, keys], part by part."""
        for i in range(0, self.q, 64 if self.layout is None else self.block):
            if self.layout is None:
                yield slice(i, i + 64), self.columns[i:i + 64]
            else:
                j = numpy.flatnonzero(self.layout[i // self.block])[:, None] * self.block + numpy.arange(self.block)
                yield slice(i, i + self.block), j[j < self.k]

    def distance(self):
        """p - j of each query and key."""
        return numpy.arange(self.q)[:, None] + self.offset - numpy.arange(self.k)

    def allowed(self):
        """The keys that mask, causal and window leave, [1 or B, 1 or H, Q, K]; None: all."""
        x, keep = self.distance(), self.mask
        for wanted, part in ((self.causal, x >= 0), (self.win[0] >= 0, x <= self.win[0]), (self.win[1] >= 0, x >= -self.win[1])):
            if wanted and not part.all():
                keep = part[None, None] if keep is None else keep & part
        return keep if keep is None else numpy.broadcast_to(keep, (*keep.shape[:2], self.q, self.k)).copy()

    def added(self):
        """Bias and ALiBi in one, None: nothing is added."""
        alibi = None if self.slopes is None else (-self.slopes[:, None, None] * abs(self.distance()))[None].astype("f4")
        return alibi if self.bias is None else self.bias if alibi is None else self.bias + alibi

    def dense(self):
        """All of that in one tensor, as SDPA takes it: None, bool (attend), or f32 to be added."""
        keep, add = self.allowed(), self.added()
        if keep is None or add is None:
            return keep if add is None else numpy.broadcast_to(add, (*add.shape[:2], self.q, self.k)).copy()
        return numpy.where(keep, add, numpy.float32("-inf"))

    def reference(self, k, v):
        if self.pattern:
            return self.sparse_reference()
        full = (self.b, self.hq, self.q, self.k)
        keep, add = self.allowed(), self.added()
        keep = None if keep is None else numpy.broadcast_to(keep, full)
        add = None if add is None else numpy.broadcast_to(add, full)
        out = numpy.empty((self.b, self.hq, self.q, self.d))
        for b, h in numpy.ndindex(self.b, self.hq):
            s = self.scale * (self.tq[b, h].astype("f8") @ k[b, h // self.group].astype("f8").T)
            s = self.softcap * numpy.tanh(s / self.softcap) if self.softcap else s
            s = s if add is None else s + add[b, h]
            s = s if keep is None else numpy.where(keep[b, h], s, -numpy.inf)
            w = numpy.exp(s - s.max(-1, keepdims=True))
            out[b, h] = w @ v[b, h // self.group] / w.sum(-1, keepdims=True)
        return out

    def sparse_reference(self):
        out = numpy.zeros((self.b, self.hq, self.q, self.d))
        for b, h in numpy.ndindex(self.b, self.hq):
            q, k, v = (x[b, n].astype("f8") for x, n in ((self.tq, h), (self.tk, h // self.group), (self.tv, h // self.group)))
            for rows, keys in self.listed():
                if keys.size:
                    s = self.scale * (numpy.einsum("id,ijd->ij", q[rows], k[keys]) if keys.ndim == 2 else q[rows] @ k[keys].T)
                    w = numpy.exp(s - s.max(-1, keepdims=True))
                    w /= w.sum(-1, keepdims=True)
                    out[b, h, rows] = numpy.einsum("ij,ijd->id", w, v[keys]) if keys.ndim == 2 else w @ v[keys]
        return out

    def write_case(self, folder):
        inputs, attrs = {"q": self.tq, "k": self.tk, "v": self.tv}, {}
        if self.columns is not None:
            attrs["pattern"] = {"type": "csr"}
            inputs["row_ptr"], inputs["col_idx"] = numpy.arange(self.q + 1, dtype="i4") * self.columns.shape[1], self.columns.reshape(-1)
        else:
            attrs["pattern"], inputs["block_layout"] = {"type": "block_sparse", "block": self.block}, self.layout[None]
        arrays = {**{f"in_{n}": x for n, x in inputs.items()}, "out_out": self.reference(self.tk, self.tv).astype("f4")}
        for n, x in arrays.items():
            numpy.save(os.path.join(folder, n), x)
        json.dump({"format": 1, "name": os.path.basename(folder), "op": "attention", "attrs": attrs, "inputs": {n: f"in_{n}.npy" for n in inputs},
                   "outputs": {"out": "out_out.npy"}, "rtol": 0, "atol": self.tolerance, "source": "drawn"},
                  open(os.path.join(folder, "case.json"), "w"))


def only(what, *others):
    """An engine's limits, in words."""
    for wanted, name in others:
        if wanted:
            raise ValueError(f"{what} has no {name}")


# ---- the peers' side: a process that reads problems and answers with milliseconds.  An engine makes of a problem: what runs it, and what
# turns what that returns into [B,H,Q,D].  What a program would do once for many calls (masks, plans, compilation) is not timed.

def torch_engine():
    import torch
    torch.set_num_threads(int(THREADS))

    def scatter(s):
        """A graph layer as graph libraries have it: rows gathered for each edge, softmax by segments, and added up."""
        q, k, v = (torch.from_numpy(x[0].transpose(1, 0, 2).copy()) for x in (s.tq, s.tk, s.tv))  # [N,H,D]
        target = torch.arange(s.q).repeat_interleave(s.columns.shape[1])
        source = torch.from_numpy(s.columns.reshape(-1)).long()
        at = target[:, None].expand(-1, s.hq)
        def run():
            with torch.inference_mode():
                score = (q.index_select(0, target) * k.index_select(0, source)).sum(-1) * s.scale  # [E,H]
                top = score.new_full((s.q, s.hq), -torch.inf).scatter_reduce(0, at, score, "amax")
                weight = torch.exp(score - top.index_select(0, target))
                total = weight.new_zeros(s.q, s.hq).index_add(0, target, weight)
                out = q.new_zeros(s.q, s.hq, s.d).index_add(0, target, weight[..., None] * v.index_select(0, source))
                return out / total[..., None]
        return run, lambda out: out.permute(1, 0, 2)[None].numpy()

    def make(s):
        if s.columns is not None:
            only("the scatter form", (s.b > 1, "batch"), (s.group > 1, "grouped heads"))
            return scatter(s)
        only("scaled_dot_product_attention", (s.softcap, "softcap"), (s.kv, f"{s.kv} cache"), (s.pattern, "block layout"))
        dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[s.type]
        q, k, v = (torch.from_numpy(x).to(dtype) for x in (s.tq, s.tk, s.tv))
        native = s.square and s.mask is None and s.added() is None
        mask = None if native or (dense := s.dense()) is None else torch.from_numpy(dense)
        def run():
            with torch.inference_mode():
                return torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, mask, is_causal=native, enable_gqa=s.group > 1)
        return run, lambda out: out.float().numpy()
    return make


def flex_engine():
    import torch
    from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
    torch.set_num_threads(int(THREADS))

    def make(s):
        wanted = s.softcap or s.slopes is not None or s.win != (-1, -1) or s.layout is not None  # the rest is scaled_dot_product_attention's
        only("FlexAttention", (s.type != "f32", s.type), (s.kv, f"{s.kv} cache"), (not wanted, "flag to be used for"))
        q, k, v = map(torch.from_numpy, (s.tq, s.tk, s.tv))
        tensor = lambda x, shape: None if x is None else torch.from_numpy(x).expand(shape).contiguous()
        slopes, bias = tensor(s.slopes, (s.hq,)), tensor(s.bias, (s.b, s.hq, s.q, s.k))
        mask, (left, right) = tensor(s.mask, (s.b, s.hq, s.q, s.k)), s.win

        def score_mod(score, b, h, i, j):
            score = s.softcap * torch.tanh(score / s.softcap) if s.softcap else score
            score = score + bias[b, h, i, j] if bias is not None else score
            return score - slopes[h] * (i + s.offset - j).abs() if slopes is not None else score

        def mask_mod(b, h, i, j):
            keep = i + s.offset - j >= (0 if s.causal else -right if right >= 0 else -s.k - s.q)
            keep = keep & (i + s.offset - j <= left) if left >= 0 else keep
            return keep & mask[b, h, i, j] if mask is not None else keep
        each = (s.b, s.hq) if mask is not None else (None, None)
        masked = s.causal or mask is not None or s.win != (-1, -1)
        blocks = create_block_mask(mask_mod, *each, s.q, s.k, device="cpu") if masked else None
        if s.layout is not None:  # its own blocks, all of them full
            counts = torch.from_numpy(s.layout.sum(-1).astype("i4"))[None, None]
            order = torch.from_numpy(numpy.argsort(~s.layout, -1, "stable").astype("i4"))[None, None]
            blocks = BlockMask.from_kv_blocks(torch.zeros_like(counts), torch.zeros_like(order), counts, order, BLOCK_SIZE=s.block,
                                              seq_lengths=(s.q, s.k))
        compiled = torch.compile(flex_attention, dynamic=False)
        modified = score_mod if s.softcap or bias is not None or slopes is not None else None
        def run():
            with torch.inference_mode():
                return compiled(q, k, v, score_mod=modified, block_mask=blocks, enable_gqa=s.group > 1)
        return run, lambda out: out.numpy()
    return make


def session(node, inputs, outputs):
    """An onnxruntime session of one node."""
    import onnx, onnxruntime
    from onnx import helper
    info = lambda n, x: helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    graph = helper.make_graph([node], "g", [info(*i) for i in inputs.items()], [info(*o) for o in outputs.items()])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(THREADS)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def onnxruntime_engine():
    from onnx import helper

    def make(s):
        only("onnxruntime's Attention", (s.type != "f32", s.type), (s.kv, f"{s.kv} cache"), (s.pattern, "patterns"))
        native = s.square and s.mask is None and s.added() is None
        inputs = {"q": s.tq, "k": s.tk, "v": s.tv}
        if not native and (dense := s.dense()) is not None:
            inputs["m"] = dense
        node = helper.make_node("Attention", list(inputs), ["o"], is_causal=int(native), softcap=s.softcap)
        ort = session(node, inputs, {"o": s.tq})
        return (lambda: ort.run(None, inputs)), lambda out: out[0]
    return make


def ortgqa_engine():
    import onnxruntime
    from onnx import helper

    def make(s):
        only("GroupQueryAttention", (s.type != "f32", s.type), (s.kv, f"{s.kv} cache"), (s.pattern, "patterns"), (s.mask is not None, "mask"), (s.added() is not None, "bias here"),
             (s.q > 1 and not s.causal, "rows that look ahead"),
             (s.offset != s.k - s.q, "other alignment"), (s.win[1] > 0, "right window"))
        flat = lambda x: numpy.ascontiguousarray(x.transpose(0, 2, 1, 3).reshape(s.b, s.q, -1))
        inputs = {"q": flat(s.tq), "k": flat(s.tk[:, :, -s.q:]), "v": flat(s.tv[:, :, -s.q:]), "pk": s.tk.copy(), "pv": s.tv.copy(),
                  "lens": numpy.full(s.b, s.k - 1, "i4"), "total": numpy.array(s.k, "i4")}
        node = helper.make_node("GroupQueryAttention", list(inputs), ["o", "nk", "nv"], domain="com.microsoft", num_heads=s.hq,
                                kv_num_heads=s.hkv, softcap=s.softcap, local_window_size=s.win[0] + 1 if s.win[0] >= 0 else -1)
        ort = session(node, inputs, {"o": inputs["q"], "nk": s.tk, "nv": s.tv})
        values = {n: onnxruntime.OrtValue.ortvalue_from_numpy(x) for n, x in inputs.items()}
        out = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.empty_like(inputs["q"]))
        bound = ort.io_binding()
        for n, x in values.items():
            bound.bind_ortvalue_input(n, x)
        for n, x in (("o", out), ("nk", values["pk"]), ("nv", values["pv"])):  # the cache is written where it lies
            bound.bind_ortvalue_output(n, x)
        return (lambda: ort.run_with_iobinding(bound)), \
            lambda _: out.numpy().reshape(s.b, s.q, s.hq, s.d).transpose(0, 2, 1, 3)
    return make


def openvino_engine():
    import openvino
    from openvino import opset13 as op

    def make(s):
        only("OpenVINO", (s.type == "bf16", "bf16 here"), (s.kv, f"{s.kv} cache"), (s.pattern, "patterns"), (s.softcap, "softcap"))
        q, k, v = s.tq, s.tk, s.tv
        native = s.square and s.mask is None and s.added() is None
        mask = None if native else s.dense()
        if s.group > 1 and s.q == 1:  # one query: its heads are rows, each K and V is read once
            q = q.reshape(s.b, s.hkv, s.group, s.d)
            mask = mask if mask is None else numpy.broadcast_to(mask, (s.b, s.hq, 1, s.k)).reshape(s.b, s.hkv, s.group, s.k).copy()
        elif s.group > 1:
            k, v = (numpy.repeat(x, s.group, axis=1) for x in (k, v))
        arrays = [x.astype("f2") if s.type == "f16" and x.dtype == "f4" else x for x in (q, k, v, mask) if x is not None]
        p = [op.parameter(x.shape, openvino.Type(x.dtype)) for x in arrays]
        model = openvino.Model([op.scaled_dot_product_attention(*p, causal=native)], p)
        compiled = openvino.Core().compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        tensors = [openvino.Tensor(x, shared_memory=True) for x in arrays]
        for i, t in enumerate(tensors):
            request.set_input_tensor(i, t)
        # the tensors borrow the arrays' memory
        return (lambda: (arrays, tensors) and request.infer()), lambda out: out[0].astype("f4").reshape(s.tq.shape)
    return make


def ggml_engine():
    import ctypes
    from ctypes import c_bool, c_float, c_int, c_int64, c_size_t, c_void_p
    base, cpu = (ctypes.CDLL(os.path.join(sys.prefix, "ggml", f"libggml-{n}.so"), ctypes.RTLD_GLOBAL) for n in ("base", "cpu"))

    class Memory(ctypes.Structure):
        _fields_ = [("size", c_size_t), ("buffer", c_void_p), ("no_alloc", c_bool)]

    class Plan(ctypes.Structure):
        _fields_ = [("size", c_size_t), ("work", c_void_p), ("threads", c_int), ("pool", c_void_p), ("abort", c_void_p),
                    ("abort_data", c_void_p), ("use_ref", c_bool)]

    def function(library, name, result, *arguments):
        f = getattr(library, "ggml_" + name)
        f.restype, f.argtypes = result, arguments
        return f
    init = function(base, "init", c_void_p, Memory)
    free, held = function(base, "free", None, c_void_p), []
    new = function(base, "new_tensor_4d", c_void_p, c_void_p, c_int, *[c_int64] * 4)
    data = function(base, "get_data", c_void_p, c_void_p)
    quantize = function(base, "quantize_chunk", c_size_t, c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p)
    attention = function(base, "flash_attn_ext", c_void_p, *[c_void_p] * 5, *[c_float] * 3)
    new_graph, expand = function(base, "new_graph", c_void_p, c_void_p), function(base, "build_forward_expand", None, c_void_p, c_void_p)
    plan_graph = function(cpu, "graph_plan", Plan, c_void_p, c_int, c_void_p)
    compute = function(cpu, "graph_compute", c_int, c_void_p, ctypes.POINTER(Plan))
    cpu.ggml_cpu_init()
    types, bytes_of = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}, {"q4_0": 18, "q8_0": 34}  # of a block of 32 numbers

    def view(t, kind, shape):
        return numpy.ctypeslib.as_array(ctypes.cast(data(t), ctypes.POINTER(kind)), shape)

    def tensor(ctx, kind, x):
        t = new(ctx, types[kind], *reversed(x.shape))
        x = numpy.ascontiguousarray(x, "f2" if kind == "f16" else "f4")
        if kind in ("f32", "f16"):
            ctypes.memmove(data(t), x.ctypes.data, x.nbytes)
        else:
            quantize(types[kind], x.ctypes.data, data(t), 0, x.size // x.shape[-1], x.shape[-1], None)
        return t

    def make(s):
        only("ggml", (s.type != "f32", f"{s.type} here"), (s.kv and s.d % 32, f"{s.kv} of dims that are no multiple of 32"), (s.pattern, "patterns"))
        # To f16 goes what is added to the scores; q is quantised as the keys are, and q4_0's are multiplied with q in q8_0.
        s.tolerance = 2e-2 if s.kv or s.bias is not None else s.tolerance
        kind, keep, add = s.kv or "f32", s.allowed(), s.bias
        if s.slopes is not None:  # ggml multiplies the mask with the slopes itself
            only("ggml", (s.bias is not None, "bias beside ALiBi"), (s.hq & (s.hq - 1), "ALiBi's slopes for such heads"))
            add = -abs(s.distance())[None, None].astype("f4")
        mask = None
        if keep is not None or add is not None:
            mask = numpy.where(True if keep is None else keep, 0 if add is None else add, -numpy.inf)
            mask = numpy.broadcast_to(mask, (*mask.shape[:2], s.q, s.k))
        numbers = s.tq.size * 8 + s.tk.size * 8 + (0 if mask is None else mask.size * 2)
        if held:
            free(held.pop())  # the problem before
        ctx = init(Memory(numbers + (16 << 20), None, False))
        held.append(ctx)
        q, k, v = tensor(ctx, "f32", s.tq), tensor(ctx, kind, s.tk), tensor(ctx, kind, s.tv)
        m = None if mask is None else tensor(ctx, "f16", mask)
        out = attention(ctx, q, k, v, m, s.scale, 8.0 if s.slopes is not None else 0.0, s.softcap)
        graph = new_graph(ctx)
        expand(graph, out)
        plan = plan_graph(graph, int(THREADS), None)
        work = ctypes.create_string_buffer(plan.size + 64)
        plan.work = ctypes.addressof(work)
        result = view(out, c_float, (s.b, s.q, s.hq, s.d))
        if s.kv:  # what the blocks hold, for NumPy
            raw = lambda t, x: view(t, ctypes.c_uint8, (x.size // 32, bytes_of[kind]))
            s.tk, s.tv = (unpack(raw(t, x), kind).reshape(x.shape) for t, x in ((k, s.tk), (v, s.tv)))
        return (lambda: work and compute(graph, ctypes.byref(plan))), lambda _: result.transpose(0, 2, 1, 3)
    return make


def unpack(blocks, kind):
    """GGML's blocks of 32 numbers: an f16 scale, then bytes, or nibbles that are 8 too large, the low ones first."""
    scale, rest = blocks[:, :2].copy().view("f2").astype("f4"), blocks[:, 2:]
    whole = rest.view("i1") if kind == "q8_0" else numpy.concatenate([rest & 15, rest >> 4], 1).astype("f4") - 8
    return scale * whole


ENGINES = {"torch": torch_engine, "flex": flex_engine, "onnxruntime": onnxruntime_engine, "ort-gqa": ortgqa_engine,
           "openvino": openvino_engine, "ggml": ggml_engine}


def prepare(make, text):
    """What runs the problem, once its result is known to be right; and how near that is."""
    s = Problem(text)
    run, tensor = make(s)
    got = numpy.array(tensor(run()))
    difference = float(abs(got - s.reference(s.tk, s.tv)).max())
    if not difference <= s.tolerance:
        raise ValueError(f"its result differs from NumPy's by {difference:.2g}")
    return run, difference


def main(name):
    make, cache = ENGINES[name](), {}
    print("ready", flush=True)
    for line in sys.stdin:
        text = line.strip()
        try:
            if text not in cache:
                cache.clear()
                cache[text] = prepare(make, text)
            run, difference = cache[text]
            times, end = [], time.perf_counter() + 0.6
            while not times or time.perf_counter() < (end + 5 if len(times) < 5 else end):
                t = time.perf_counter()
                run()
                times.append(1e3 * (time.perf_counter() - t))
            print(json.dumps({"ms": statistics.median(times), "difference": difference}), flush=True)
        except Exception as e:  # an engine that cannot do a problem is left out of its row
            print(json.dumps({"error": (str(e) or repr(e)).splitlines()[0][:200]}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--case":
        Problem(sys.argv[3]).write_case(sys.argv[2])
    else:
        main(sys.argv[1])
