/* test_string.c -- problem strings: what is printed is read back as the same problem, spellings, what is refused. */
#include "problems.h"
#include "suite.h"
#include <locale.h>

START_TEST(strings_survive)
{
    srand(3);
    for (int n = 0; n < 2000; n++) {
        clattn_attention a = random_attention();
        struct problem p = made(&a), again;
        char text[512];
        strcpy(text, printed(&p));
        again = parsed(text);
        ck_assert_msg(same(&p, &again), "%s became %s", text, printed(&again));
    }
}
END_TEST

static const struct { const char *text, *canonical; } spellings[] = {
    { "f16 b2 h32/8 q1 k4096 d128 causal win=1024,0", "f16 b2 h32/8 q1 k4096 d128 win=1024,-1" },
    { "f32 b1 h8 q2048 k2048 d64 causal", "f32 b1 h8 q2048 k2048 d64 causal" },
    { "  bf16\td576/512  n3 ", "bf16 b1 h1 q3 k3 d576/512" },
    { "f32 n8 d4 align=top_left causal", "f32 b1 h1 q8 k8 d4 causal" },
    { "f32 q4 k8 d4 align=top_left causal", "f32 b1 h1 q4 k8 d4 causal align=top_left" },
    { "f32 q4 k8 d4 align=offset:-7 causal", "f32 b1 h1 q4 k8 d4 causal align=offset:-7" },
    { "f32 b2 h2 n8 d4 layout=bshd scale=0.25", "f32 b2 h2 q8 k8 d4 scale=0.25 layout=bshd" },
    { "f32 b2 h2 n8 d4 kstride=0,0,4,1", "f32 b2 h2 q8 k8 d4 kstride=0,0,4,1" },
    { "f32 n9 d4 win=2,3", "f32 b1 h1 q9 k9 d4 win=2,3" },
    { "f32 n9 d4 softcap=0.1 scale=1", "f32 b1 h1 q9 k9 d4 scale=1 softcap=0.100000001" },
    { "f32 n9 d4 softcap=0", "f32 b1 h1 q9 k9 d4" },
    { "f32 n9 d4 dropout=0.1 seed=1", "f32 b1 h1 q9 k9 d4 dropout=0.1 seed=1" },
    { "f32 n9 d4 offset=3 seed=18446744073709551615 dropout=1e-9", "f32 b1 h1 q9 k9 d4 dropout=1e-09 seed=18446744073709551615 offset=3" },
    { "f32 n9 d4 dropout=0.30000000000000004", "f32 b1 h1 q9 k9 d4 dropout=0.30000000000000004" },
    { "f32 n9 d4 seed=7", "f32 b1 h1 q9 k9 d4" },
    { "bf16 n9 d4 rounded sinks", "bf16 b1 h1 q9 k9 d4 sinks rounded" },
    { "f32 n9 d4 rounded", "f32 b1 h1 q9 k9 d4" }, /* as stored */
    { "f32 n9 d4 alibi sinks lens=5", "f32 b1 h1 q9 k9 d4 alibi sinks lens=5" },
    { "f32 b2 h3 n9 d4 alibi=BH", "f32 b2 h3 q9 k9 d4 alibi=BH" },
    { "f32 b1 h3 n9 d4 alibi=BH", "f32 b1 h3 q9 k9 d4 alibi" },
    { "bias=BHQK mask=K f32 b2 h3 n9 d4", "f32 b2 h3 q9 k9 d4 bias=BHQK mask=K" },
    { "f32 b1 h3 n9 d4 bias=BHQK mask=", "f32 b1 h3 q9 k9 d4 bias=HQK mask=" },
    { "f32 b2 h3 n9 d4 mask=BK:7 maskstride=9,0,0,1", "f32 b2 h3 q9 k9 d4 mask=BK:7 maskstride=9,0,0,1" },
    { "f32 b3 h4 q33 k65 d4 total=55,103 causal", "f32 b3 h4 q33 k65 d4 causal total=55,103" },
    { "f32 h4 d4 var=5,17,300 causal", "f32 b3 h4 q300 k300 d4 causal total=322,322" },
    { "f32 b3 h4 q2 d4 var=5,17,300 kv=paged16", "f32 b3 h4 q2 k304 d4 lens=107 total=6,0 kv=paged16" },
    { "f32 b2 n32 d4 shared=9", "f32 b2 h1 q32 k32 d4 shared=9" }, { "f32 n32 d4 shared=9", "f32 b1 h1 q32 k32 d4" },
    { "f32 n32 d4 split=16", "f32 b1 h1 q32 k32 d4 split=16" },
    { "f32 b2 n32 d4 kv=paged16 lens=20 new=3", "f32 b2 h1 q32 k32 d4 lens=20 kv=paged16 new=3" },
    { "f32 n32 d64 kv=paged16+q8_0 rope", "f32 b1 h1 q32 k32 d64 kv=paged16+q8_0 rope=64,64" },
    { "f32 n32 d64 kv=int8c", "f32 b1 h1 q32 k32 d64 kv=int8c" },
    { "f32 n32 d64 kv=int8 kvscale=1,2,0,1", "f32 b1 h1 q32 k32 d64 kv=int8 kvscale=1,2,0,1" },
    { "f32 n32 d20 score=additive", "f32 b1 h1 q32 k32 d20 score=additive:20,1" },
    { "f32 n32 d20 score=general:12 scale=1", "f32 b1 h1 q32 k32 d20 score=general:12" },
    { "f32 n32 d1/20 score=gat", "f32 b1 h1 q32 k32 d1/20 score=gat" },
    { "f32 b2 n32 d4 kv=paged16 pages=9 weights=probs", "f32 b2 h1 q32 k32 d4 kv=paged16 pages=9 weights=probs" },
    { "f32 q8 k9 d4 pattern=strided:64 causal", "f32 b1 h1 q8 k9 d4 causal pattern=strided:64" },
    { "f32 q8 k9 d4 pattern=strided:64 align=top_left", "f32 b1 h1 q8 k9 d4 align=top_left pattern=strided:64" },
    { "f32 n9 d4 pattern=fixed:4,0", "f32 b1 h1 q9 k9 d4 pattern=fixed:4,0" },
    { "f32 n9 d4 pattern=dilated:5,3", "f32 b1 h1 q9 k9 d4 pattern=dilated:5,3" },
    { "f32 n9 d4 pattern=random:5", "f32 b1 h1 q9 k9 d4 pattern=random:5,0" },
    { "f32 n9 d4 pattern=random:5,18446744073709551615 causal", "f32 b1 h1 q9 k9 d4 causal pattern=random:5,18446744073709551615" },
    { "f32 n9 d4 pattern=random:5 win=-1,0", "f32 b1 h1 q9 k9 d4 win=-1,0 pattern=random:5,0" }, /* not the same */
    { "f32 q1 k9 d4 pattern=block_top_k:2,3 causal", "f32 b1 h1 q1 k9 d4 causal pattern=block_top_k:2,3,0" },
    { "f32 q1 k9 d4 pattern=block_top_k:2,3,1", "f32 b1 h1 q1 k9 d4 pattern=block_top_k:2,3,1" },
    { "f32 n9 d4 pattern=global:7+2+7", "f32 b1 h1 q9 k9 d4 pattern=global:2+7" },
    { "f32 n9 d4 pattern=global", "f32 b1 h1 q9 k9 d4 pattern=global" },
    { "f32 n9 d4 pattern=bigbird:2,1,7,1", "f32 b1 h1 q9 k9 d4 pattern=bigbird:2,1,7,1" },
    { "f32 n9 d4 pattern=bigbird:2,1", "f32 b1 h1 q9 k9 d4 pattern=bigbird:2,1,0,0" },
    { "f32 n9 d4 pattern=longformer:2,0+5", "f32 b1 h1 q9 k9 d4 pattern=longformer:2,0+5" },
    { "f32 n9 d4 pattern=longformer:2", "f32 b1 h1 q9 k9 d4 pattern=longformer:2" },
    { "f32 n9 d4 pattern=sink_window:5,1 align=offset:3", "f32 b1 h1 q9 k9 d4 align=offset:3 pattern=sink_window:5,1" },
    { "f32 n9 d4 pattern=prefix", "f32 b1 h1 q9 k9 d4 pattern=prefix" }, { "f32 n9 d4 pattern=document", "f32 b1 h1 q9 k9 d4 pattern=document" },
    { "f32 n9 d4 pattern=chunked:3", "f32 b1 h1 q9 k9 d4 pattern=chunked:3" },
    { "f32 n24 d4 pattern=neighborhood:4x6,3x3", "f32 b1 h1 q24 k24 d4 pattern=neighborhood:4x6,3x3,1x1,0x0" },
    { "f32 n24 d4 pattern=neighborhood:24,3,2,1", "f32 b1 h1 q24 k24 d4 pattern=neighborhood:24,3,2,1" },
    { "f32 n24 d4 pattern=neighborhood:1x4x6,1x3x3,1x1x2,1x0x0", "f32 b1 h1 q24 k24 d4 pattern=neighborhood:1x4x6,1x3x3,1x1x2,1x0x0" },
    { "f32 n24 d4 pattern=window2d:4x6,2x3,-1x7", "f32 b1 h1 q24 k24 d4 pattern=window2d:4x6,2x3,3x1" },
    { "f32 n9 d4 pattern=block_sparse:2,0.5", "f32 b1 h1 q9 k9 d4 pattern=block_sparse:2" },
    { "f32 h4 n9 d4 pattern=block_sparse:2,4x5x3,0.25", "f32 b1 h4 q9 k9 d4 pattern=block_sparse:2,4x5x3" },
    { "f32 h4 n9 d4 pattern=csr:3,4", "f32 b1 h4 q9 k9 d4 pattern=csr:3,4" }, { "f32 n9 d4 pattern=csr:28e", "f32 b1 h1 q9 k9 d4 pattern=csr:28e" },
    { "f32 h4 n9 d4 pattern=csr:3,1,4", "f32 b1 h4 q9 k9 d4 pattern=csr:3,1,4" }, { "f32 h4 n9 d4 pattern=csr:3,4,1", "f32 b1 h4 q9 k9 d4 pattern=csr:3,4,1" },
    { "f32 q0 k9 d4 pattern=csr:3", "f32 b1 h1 q0 k9 d4 align=top_left pattern=csr:0e" },
    { "f32 n9 d4 pattern=lsh:2,8", "f32 b1 h1 q9 k9 d4 pattern=lsh:2,8" }, { "f32 n9 d4 pattern=lsh:2", "f32 b1 h1 q9 k9 d4 pattern=lsh:2,2" },
    { "f32 q1 k257 d4 pattern=lsh:buckets=8,rounds=2", "f32 b1 h1 q1 k257 d4 pattern=lsh:2,8" },
    { "f32 q1 k257 d4 pattern=lsh:rounds=2", "f32 b1 h1 q1 k257 d4 pattern=lsh:2,6" },
    { "f32 n24 d4 pattern=union(neighborhood:grid=4x6,kernel=3x3;longformer:tokens=0+5,radius=2)",
      "f32 b1 h1 q24 k24 d4 pattern=union(neighborhood:4x6,3x3,1x1,0x0;longformer:2,0+5)" },
    { "f32 n9 d4 pattern=top_k:3", "f32 b1 h1 q9 k9 d4 pattern=top_k:3" },
    { "f32 n9 d4 pattern=top_p:0.9", "f32 b1 h1 q9 k9 d4 pattern=top_p:0.9" },
    { "f32 n9 d4 pattern=top_p:0.5,4", "f32 b1 h1 q9 k9 d4 pattern=top_p:0.5,4" },
    { "f32 n9 d4 pattern=adaptive_span:2.5", "f32 b1 h1 q9 k9 d4 pattern=adaptive_span:2.5" },
    { "f32 n9 d4 pattern=block_mask:4x2", "f32 b1 h1 q9 k9 d4 pattern=block_mask:4x2" },
    { "f32 n9 d4 pattern=block_mask:4x2,0.5", "f32 b1 h1 q9 k9 d4 pattern=block_mask:4x2" },
    { "f32 b3 h4 n9 d4 pattern=block_mask:4x2,3x4x5x1,0.5", "f32 b3 h4 q9 k9 d4 pattern=block_mask:4x2,3x4x5x1" },
    { "f32 n9 d4 pattern=block_mask:4x2,1x1x2x0", "f32 b1 h1 q9 k9 d4 pattern=block_mask:4x2,1x1x2x0" },
    { "f32 n9 d4 causal pattern=hierarchical:4", "f32 b1 h1 q9 k9 d4 causal pattern=hierarchical:4" },
    { "f32 n9 d4 pattern=union(strided:4;intersect(global:1+2;prefix);longformer:1,3)",
      "f32 b1 h1 q9 k9 d4 pattern=union(strided:4;intersect(global:1+2;prefix);longformer:1,3)" },
    { "f32 n9 d4 pattern=union(union(union(global:1);global:2);global:3)", "f32 b1 h1 q9 k9 d4 pattern=union(union(union(global:1);global:2);global:3)" },
    { "f32 q4 k8 d4 align=top_left alibi", "f32 b1 h1 q4 k8 d4 align=top_left alibi" },
};

START_TEST(strings_print_canonically)
{
    struct problem p = parsed(spellings[_i].text);
    ck_assert_str_eq(printed(&p), spellings[_i].canonical);
    char cut[8] = "xxxxxxx";
    ck_assert_uint_eq(ca_problem_print(&p, cut, 5), strlen(spellings[_i].canonical));
    ck_assert(memcmp(cut, spellings[_i].canonical, 4) == 0 && cut[4] == 0 && cut[5] == 'x');
    ck_assert_uint_eq(ca_problem_print(&p, NULL, 0), strlen(spellings[_i].canonical));
    struct problem again = parsed(spellings[_i].canonical);
    ck_assert_msg(same(&p, &again), "%s is another problem", spellings[_i].canonical);
}
END_TEST

static const struct { const char *text; clattn_status status; const char *word; } bad[] = {
    { "f32 n8 d4 nonsense", CLATTN_E_ARGUMENT, "nonsense" },
    { "f32 n8 d4 causal=1", CLATTN_E_ARGUMENT, "causal=1" },
    { "f32 n8 d4 caus", CLATTN_E_ARGUMENT, "caus" },
    { "f32 n8 d4 win", CLATTN_E_ARGUMENT, "win" },
    { "f32 n8 d4 win=1", CLATTN_E_ARGUMENT, "win=1" },
    { "f32 n8 d4 win=1,2,3", CLATTN_E_ARGUMENT, "win=1,2,3" },
    { "f32 n8 d4 align=middle", CLATTN_E_ARGUMENT, "align=middle" },
    { "f32 n8 d4 layout=dshb", CLATTN_E_ARGUMENT, "layout=dshb" },
    { "f32 n8 d4 scale=nan", CLATTN_E_ARGUMENT, "scale=nan" },
    { "f32 n8 d4 scale=1x", CLATTN_E_ARGUMENT, "scale=1x" },
    { "f32 n8 d4 qstride=1,2,3", CLATTN_E_ARGUMENT, "qstride=1,2,3" },
    { "f32 n8 q8 d4", CLATTN_E_ARGUMENT, "q8" },
    { "f32 n8 d4 d4", CLATTN_E_ARGUMENT, "d4" },
    { "f32 f16 n8 d4", CLATTN_E_ARGUMENT, "f16" },
    { "f32 n8 d4x", CLATTN_E_ARGUMENT, "d4x" },
    { "f32 n8/8 d4", CLATTN_E_ARGUMENT, "n8/8" },
    { "f32 n8 h4/0 d4", CLATTN_E_ARGUMENT, "h4/0" },
    { "f32 n99999999999999999999 d4", CLATTN_E_ARGUMENT, "n99999999999999999999" },
    { "f32 k8 d4", CLATTN_E_ARGUMENT, "q is missing" },
    { "f32 q8 d4", CLATTN_E_ARGUMENT, "k is missing" },
    { "f32 n8", CLATTN_E_ARGUMENT, "d is missing" },
    { "", CLATTN_E_ARGUMENT, "missing" },
    { "f64 n8 d4", CLATTN_E_ARGUMENT, "f64" },
    { "f32 n8 d4 softcap", CLATTN_E_ARGUMENT, "softcap" },
    { "f32 n8 d4 softcap=x", CLATTN_E_ARGUMENT, "softcap=x" },
    { "f32 n8 d4 alibi=H", CLATTN_E_ARGUMENT, "alibi=H" },
    { "f32 n8 d4 sinks=1", CLATTN_E_ARGUMENT, "sinks=1" },
    { "bf16 n8 d4 rounded=1", CLATTN_E_ARGUMENT, "rounded=1" },
    { "f32 n8 d4 lens=0", CLATTN_E_ARGUMENT, "lens=0" },
    { "f32 n8 d4 bias=KQ", CLATTN_E_ARGUMENT, "bias=KQ" },
    { "f32 n8 d4 bias=Q:3", CLATTN_E_ARGUMENT, "bias=Q:3" },
    { "f32 n8 d4 mask", CLATTN_E_ARGUMENT, "mask" },
    { "f32 n8 d4 mask=QK:", CLATTN_E_ARGUMENT, "mask=QK:" },
    { "f32 n8 d4 kv=paged16+int4", CLATTN_E_ARGUMENT, "kv=paged16+int4" },
    { "f32 n8 d4 kv=int8+fp8", CLATTN_E_ARGUMENT, "kv=int8+fp8" },
    { "f32 n8 d4 rope=4", CLATTN_E_ARGUMENT, "rope=4" },
    { "f32 n8 d4 score=cosine", CLATTN_E_ARGUMENT, "score=cosine" },
    { "f32 n8 d4 total=8", CLATTN_E_ARGUMENT, "total=8" },
    { "f32 n8 d4 var=1,2", CLATTN_E_ARGUMENT, "contradicts var=1,2" },
    { "f32 d4 var=1,2 lens=2", CLATTN_E_ARGUMENT, "contradicts var=1,2" },
    { "f32 b3 d4 var=1,2", CLATTN_E_ARGUMENT, "2 lengths, the batch 3" },
    { "f32 d4 var=uniform:3", CLATTN_E_ARGUMENT, "var=uniform:3" },
    { "f32 d4 var=uniform:3,2", CLATTN_E_ARGUMENT, "var=uniform:3,2" },
    { "f32 d4 var=1,-2", CLATTN_E_ARGUMENT, "var=1,-2" },
    { "f32 d4 var=", CLATTN_E_ARGUMENT, "var=" },
    { "f32 b2 q2 k2 d4 total=3,4 var=1,2", CLATTN_E_ARGUMENT, "total=3,4 or k does not agree" },
    { "f32 b2 q2 k1 d4 total=3,3 var=1,2", CLATTN_E_ARGUMENT, "total=3,3 or k does not agree" },
    { "f32 n8 d4 weights=all", CLATTN_E_ARGUMENT, "weights=all" },
    { "f32 n8 d4 dropout=x", CLATTN_E_ARGUMENT, "dropout=x" },
    { "f32 n8 d4 dropout", CLATTN_E_ARGUMENT, "dropout" },
    { "f32 n8 d4 seed=", CLATTN_E_ARGUMENT, "seed=" },
    { "f32 n8 d4 seed=-1", CLATTN_E_ARGUMENT, "seed=-1" },
    { "f32 n8 d4 offset=1.5", CLATTN_E_ARGUMENT, "offset=1.5" },
    { "f32 n8 d4 seed=18446744073709551616", CLATTN_E_ARGUMENT, "seed=18446744073709551616" },
    { "f32 n8 d4 mod", CLATTN_E_UNSUPPORTED, "mod=FILE" },
    { "f32 n8 d4 mod=file.json", CLATTN_E_UNSUPPORTED, "file.json" },
    { "f32 n8 d4 pattern", CLATTN_E_ARGUMENT, "needs a value" },
    { "f32 n8 d4 pattern=strided:64", CLATTN_E_UNSUPPORTED, "not supported here" }, /* by what frees it */
    { "f32 n8 d4 pattern=strided", CLATTN_E_ARGUMENT, "stride is missing" },
    { "f32 n8 d4 pattern=strided:x", CLATTN_E_ARGUMENT, "stride is not a number at \"x\"" },
    { "f32 n8 d4 pattern=strided:3,4", CLATTN_E_ARGUMENT, "\",4\"" },
    { "f32 n8 d4 pattern=stride:3", CLATTN_E_ARGUMENT, "\"stride\" is no type" },
    { "f32 n8 d4 pattern=strided:99999999999999999999", CLATTN_E_ARGUMENT, "stride is not a number" },
    { "f32 n8 d4 pattern=fixed:3", CLATTN_E_ARGUMENT, "summary is missing" },
    { "f32 n8 d4 pattern=neighborhood:2x4,3", CLATTN_E_ARGUMENT, "kernel has 1 numbers, the grid others" },
    { "f32 n8 d4 pattern=neighborhood:1x2x2x2,1", CLATTN_E_ARGUMENT, "grid has 4 numbers, not 1 to 3" },
    { "f32 n8 d4 pattern=random:3,-1", CLATTN_E_ARGUMENT, "seed is not a number" },
    { "f32 n8 d4 pattern=global:1+", CLATTN_E_ARGUMENT, "tokens is not a list" },
    { "f32 n8 d4 pattern=block_sparse:2,1.5", CLATTN_E_ARGUMENT, "share or layout" },
    { "f32 n8 d4 pattern=block_sparse:2,2x2", CLATTN_E_ARGUMENT, "share or layout" },
    { "f32 n8 d4 pattern=csr", CLATTN_E_ARGUMENT, "edges" },
    { "f32 n8 d4 pattern=block_mask", CLATTN_E_ARGUMENT, "block_size is missing" },
    { "f32 n8 d4 pattern=block_mask:4", CLATTN_E_ARGUMENT, "block_size has 1 numbers, not 2" },
    { "f32 n8 d4 pattern=block_mask:4x4,1x1x2", CLATTN_E_ARGUMENT, "share or lists" },
    { "f32 n8 d4 pattern=block_mask:4x4,1x1x1x2x2", CLATTN_E_ARGUMENT, "share or lists" },
    { "f32 n8 d4 pattern=csr:graph.npy", CLATTN_E_ARGUMENT, "edges" },
    { "f32 n8 d4 pattern=lsh:2,x", CLATTN_E_ARGUMENT, "buckets is not a number" },
    { "f32 n8 d4 pattern=lsh:buckets=2", CLATTN_E_ARGUMENT, "rounds is missing" },
    { "f32 n8 d4 pattern=strided:strade=2", CLATTN_E_ARGUMENT, "\"strade\" is none of its fields" },
    { "f32 n8 d4 pattern=fixed:stride=4,2", CLATTN_E_ARGUMENT, "\"2\" is none of its fields" },
    { "f32 n8 d4 pattern=strided:stride=2,stride=2", CLATTN_E_ARGUMENT, "\"stride\" is none of its fields, or there twice" },
    { "f32 n8 d4 pattern=union", CLATTN_E_ARGUMENT, "(PATTERN;...) is missing" },
    { "f32 n8 d4 pattern=union()", CLATTN_E_ARGUMENT, "\"\" is no type" },
    { "f32 n8 d4 pattern=union(prefix;document", CLATTN_E_ARGUMENT, "instead of )" },
    { "f32 n8 d4 pattern=union(prefix;)", CLATTN_E_ARGUMENT, "\"\" is no type" },
    { "f32 n8 d4 pattern=union(prefix))", CLATTN_E_ARGUMENT, "too many" },
    { "f32 n8 d4 pattern=prefix pattern=prefix", CLATTN_E_ARGUMENT, "repeats" },
    { "f32 n8 d4 share=2", CLATTN_E_ARGUMENT, "share=2" },
    { "f32 n8 d4 pattern=union(union(union(prefix;prefix;prefix;prefix;prefix);union(prefix;prefix;prefix;prefix));union(prefix;prefix;prefix))",
      CLATTN_E_UNSUPPORTED, "more than 12" },
    { "backward f32 n8 d4", CLATTN_E_UNSUPPORTED, "backward" },
    { "linear f32 n8 d4 rule=delta", CLATTN_E_UNSUPPORTED, "linear" },
};

START_TEST(strings_refused_by_name)
{
    clattn_attention a;
    ca_message_clear();
    ck_assert_int_eq(ca_problem_parse(bad[_i].text, &a), bad[_i].status);
    ck_assert_msg(strstr(ca_message(), bad[_i].word) != NULL, "%s: %s", bad[_i].text, ca_message());
}
END_TEST

/* Drawn lengths lie in their range, are the same each time and another seed's are others; the printed problem has them too. */
START_TEST(lengths_are_drawn)
{
    static const char *const texts[] = { "f32 b50 d4 var=uniform:3,90", "f32 b50 d4 var=uniform:3,90 seed=7", "f32 b50 q2 d4 var=uniform:3,90 seed=7",
                                         "f32 b50 q2 d4 var=uniform:3,90 kv=paged16 seed=8", "f32 d4 var=4,0,9 dropout=0.5 seed=9" };
    struct ca_lengths l[5], again;
    clattn_attention a;
    struct problem p, q;
    char text[900];
    for (int n = 0; n < 5; n++) {
        ck_assert_msg(ca_problem_parse_lengths(texts[n], &a, &l[n]) == CLATTN_OK, "%s", ca_message());
        p = made(&a);
        snprintf(text, sizeof text, "%s%s", printed(&p), l[n].text);
        ck_assert_msg(ca_problem_parse_lengths(text, &a, &again) == CLATTN_OK, "%s: %s", text, ca_message());
        q = made(&a);
        ck_assert_msg(same(&p, &q), "%s became %s", text, printed(&q));
        int64_t sum = 0;
        for (int b = 0; b < l[n].count; b++) {
            ck_assert(l[n].k[b] == again.k[b] && l[n].q[b] == again.q[b]);
            ck_assert(n == 4 || (l[n].k[b] >= 3 && l[n].k[b] <= 90));
            ck_assert_int_eq(l[n].q[b], n == 2 || n == 3 ? 2 : l[n].k[b]);
            sum += l[n].k[b];
        }
        ck_assert(sum == (n == 3 ? sum : p.Tk) && l[n].count == p.B);
        ca_lengths_free(&again);
    }
    ck_assert(memcmp(l[0].k, l[1].k, 50 * sizeof *l[0].k) != 0 && memcmp(l[1].k, l[2].k, 50 * sizeof *l[0].k) == 0);
    ck_assert(l[4].k[0] == 4 && l[4].k[1] == 0 && l[4].k[2] == 9);
    for (int n = 0; n < 5; n++) ca_lengths_free(&l[n]);
}
END_TEST

START_TEST(long_token_is_refused)
{
    char text[1000];
    clattn_attention a;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    ck_assert_int_eq(ca_problem_parse(text, &a), CLATTN_E_ARGUMENT);
}
END_TEST

START_TEST(locale_does_not_matter)
{
    static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (setlocale(LC_ALL, names[i])) break;
    struct problem p = parsed("f32 n8 d4 scale=0.125");
    ck_assert(p.scale == 0.125f);
    ck_assert_str_eq(printed(&p), "f32 b1 h1 q8 k8 d4 scale=0.125");
    setlocale(LC_ALL, "C");
}
END_TEST

#define COUNT(table) ((int)(sizeof table / sizeof table[0]))

int main(void)
{
    Suite *s = suite_create("string");
    TCase *t = tcase_create("string");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, strings_survive);
    tcase_add_loop_test(t, strings_print_canonically, 0, COUNT(spellings));
    tcase_add_loop_test(t, strings_refused_by_name, 0, COUNT(bad));
    tcase_add_test(t, lengths_are_drawn);
    tcase_add_test(t, long_token_is_refused);
    tcase_add_test(t, locale_does_not_matter);
    return run_suite(s);
}
