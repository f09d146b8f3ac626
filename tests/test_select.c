/* test_select.c -- the grammar of CLATTN_DEVICES on a made-up machine, and the order, the duplicates and the
 * reasons of the inventory that it works on.  Needs no device. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/probe.h"
#include "suite.h"

static struct inventory inv;
static char reason[256];

static struct inventory_entry *add(clattn_class kind, int p, int n, const char *platform, const char *name,
                                   double gflops)
{
    static const cl_device_type types[] = {
        CL_DEVICE_TYPE_CPU, CL_DEVICE_TYPE_CPU, CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR,
        CL_DEVICE_TYPE_ACCELERATOR,
    };
    struct device d = {.kind = kind, .platform_index = p, .device_index = n, .type = types[kind], .compute_units = 8,
                       .global_bytes = 1 << 30, .vector_width = 1, .gflops = gflops, .little_endian = true,
                       .available = true, .has_compiler = true};
    snprintf(d.platform_name, sizeof d.platform_name, "%s", platform);
    snprintf(d.name, sizeof d.name, "%s", name);
    strcpy(d.c_version, "OpenCL C 1.2");
    strcpy(d.version, "OpenCL 1.2");
    ck_assert_int_eq(ca_inventory_add(&inv, &d, NULL), CLATTN_OK);
    struct inventory_entry *e = &inv.entry[inv.count - 1];
    e->selftest = kind == CLATTN_CLASS_SIMULATED ? -1 : 1;
    return e;
}

/* Two equal cards, one of them also through another driver; a CPU by two drivers; a simulator; two that are refused. */
static void setup(void)
{
    struct inventory_entry *e;
    unsetenv("CLATTN_DEVICES");
    unsetenv("CLATTN_QUIRKS");
    memset(&inv, 0, sizeof inv);
    add(CLATTN_CLASS_HOST, -1, -1, "host", "Acme CPU @ 3.0GHz", 200);
    add(CLATTN_CLASS_CPU, 0, 0, "Portable Computing Language", "pthread-Acme CPU @ 3.0GHz", 210);
    add(CLATTN_CLASS_CPU, 1, 0, "Acme OpenCL", "Acme CPU @ 3.0GHz", 150);
    strcpy(add(CLATTN_CLASS_DGPU, 2, 0, "NVIDIA CUDA", "GeForce RTX, 12", 5000)->dev.uuid,
           "00112233445566778899aabbccddeeff");
    strcpy(add(CLATTN_CLASS_DGPU, 2, 1, "NVIDIA CUDA", "GeForce RTX, 12", 4800)->dev.pci, "0000:65:00.0");
    strcpy(add(CLATTN_CLASS_DGPU, 3, 0, "rusticl", "NV120", 900)->dev.uuid, "00112233445566778899aabbccddeeff");
    add(CLATTN_CLASS_IGPU, 4, 0, "Acme OpenCL Graphics", "Acme Graphics", 170);
    add(CLATTN_CLASS_SIMULATED, 5, 0, "rusticl", "llvmpipe (LLVM 15.0.6, 256 bits)", 0);
    e = add(CLATTN_CLASS_ACC, 6, 0, "Xilinx", "Board", 0);
    e->selftest = 0;
    strcpy(e->verdict, "rows: f16: error 0.3 exceeds 1e-3");
    e = add(CLATTN_CLASS_IGPU, 7, 0, "Clover", "Old Radeon", 0);
    e->selftest = -1;
    e->dev.quirks = CA_QUIRK_REFUSE;
    strcpy(e->dev.quirk_reason, "Clover is abandoned");
    ca_inventory_rank(&inv);
}

static void teardown(void) { free(inv.entry); }

/* The name of the device that TEXT selects, with its place. */
static const char *chosen(const char *text)
{
    static char name[200];
    struct ca_choice c = { .count = 0 };
    ca_message_clear();
    clattn_status st = ca_select(&inv, text, &c);
    snprintf(reason, sizeof reason, "%s", c.reason);
    if (st) snprintf(name, sizeof name, "error %d", (int)st);
    else snprintf(name, sizeof name, "%s/%d", c.entry[0]->dev.name, c.entry[0]->dev.device_index);
    return name;
}

static void expect_error(const char *text, clattn_status st, const char *part)
{
    struct ca_choice c;
    ca_message_clear();
    ck_assert_msg(ca_select(&inv, text, &c) == st, "\"%s\" gives \"%s\"", text, ca_message());
    ck_assert_msg(strstr(ca_message(), part), "\"%s\" gives \"%s\", which lacks \"%s\"", text, ca_message(), part);
}

static const struct inventory_entry *entry(const char *selector)
{
    for (size_t i = 0; i < inv.count; i++)
        if (!strcmp(inv.entry[i].selector, selector)) return &inv.entry[i];
    ck_abort_msg("no entry %s", selector);
    return NULL;
}

/* ---- the grammar */

START_TEST(good_selectors)
{
    static const char *const rows[][2] = {
        {"auto", "GeForce RTX, 12/0"},
        {"AUTO", "GeForce RTX, 12/0"},
        {"host", "Acme CPU @ 3.0GHz/-1"},
        {"gpu", "GeForce RTX, 12/0"},
        {"igpu", "Acme Graphics/0"},
        {"cpu", "pthread-Acme CPU @ 3.0GHz/0"},
        {"nvidia:1", "GeForce RTX, 12/1"},
        {"2:1", "GeForce RTX, 12/1"},
        {"NVIDIA*:*", "GeForce RTX, 12/0"},
        {"portable:*", "pthread-Acme CPU @ 3.0GHz/0"},
        {"pthread", "pthread-Acme CPU @ 3.0GHz/0"},
        {"*:*llvmpipe*", "llvmpipe (LLVM 15.0.6, 256 bits)/0"},
        {"llvmpipe", "llvmpipe (LLVM 15.0.6, 256 bits)/0"},
        {"acc,host", "Acme CPU @ 3.0GHz/-1"},
        {"amd:0,nvidia:0", "GeForce RTX, 12/0"},
        {"amd:0?", "GeForce RTX, 12/0"},
        {"amd:0?,igpu", "Acme Graphics/0"},
        {"!gpu", "pthread-Acme CPU @ 3.0GHz/0"},
        {"!gpu,!cpu", "Acme CPU @ 3.0GHz/-1"},
        {" igpu , host ", "Acme Graphics/0"},
        {"igpu@0.5,cpu@2", "Acme Graphics/0"},
        {"host@1?", "Acme CPU @ 3.0GHz/-1"},
        {"acme opencl:0", "Acme CPU @ 3.0GHz/0"}, /* the equal name, not the part */
        {"acme:graphics", "Acme Graphics/0"},
        {"ge??rce*", "GeForce RTX, 12/0"},
        {"!nvidia:0,nvidia:*", "GeForce RTX, 12/1"},
        {"uuid=00112233-4455-6677-8899-aabbccddeeff", "GeForce RTX, 12/0"},
        {"PCI=0000:65:00.0", "GeForce RTX, 12/1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = chosen(rows[i][0]);
        ck_assert_msg(!strcmp(got, rows[i][1]), "\"%s\": %s, not %s (%s)", rows[i][0], got, rows[i][1], ca_message());
        ck_assert(reason[0]);
    }
}
END_TEST

START_TEST(bad_syntax)
{
    expect_error("host,,cpu", CLATTN_E_ARGUMENT, "position 6: an item is missing");
    expect_error("host,", CLATTN_E_ARGUMENT, "position 6");
    expect_error("!", CLATTN_E_ARGUMENT, "position 2");
    expect_error("!auto", CLATTN_E_ARGUMENT, "position 2");
    expect_error("?", CLATTN_E_ARGUMENT, "a device is missing");
    expect_error("nvidia:", CLATTN_E_ARGUMENT, "position 8: a device is missing after the colon");
    expect_error(":0", CLATTN_E_ARGUMENT, "position 1: a platform is missing");
    expect_error("a:b:c", CLATTN_E_ARGUMENT, "position 4: a second colon");
    expect_error("gpu@x", CLATTN_E_ARGUMENT, "position 4: after @");
    expect_error("gpu@0", CLATTN_E_ARGUMENT, "weight above 0");
    expect_error("gpu@-1", CLATTN_E_ARGUMENT, "weight");
    expect_error("gpu@1e9999", CLATTN_E_ARGUMENT, "weight");
    expect_error("host,Acme @ 3GHz", CLATTN_E_ARGUMENT, "position 11");
    expect_error("uuid=", CLATTN_E_ARGUMENT, "position 6: the value is missing");
    char many[200] = "host", longer[4000];
    for (int i = 0; i < 32; i++) strcat(many, ",cpu");
    expect_error(many, CLATTN_E_ARGUMENT, "more than 32 items");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    expect_error(longer, CLATTN_E_ARGUMENT, "3999 characters");
}
END_TEST

/* The devices that TEXT has work together, "name/place weight; ...". */
static const char *together(const char *text)
{
    static char names[1000];
    struct ca_choice c;
    size_t n = 0;
    ca_message_clear();
    clattn_status st = ca_select(&inv, text, &c);
    names[0] = 0;
    if (st) snprintf(names, sizeof names, "error %d", (int)st);
    for (int k = 0; !st && k < c.count; k++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s/%d %g", k ? "; " : "", c.entry[k]->dev.name, c.entry[k]->dev.device_index, c.weight[k]);
    return names;
}

START_TEST(several)
{
    static const char *const rows[][2] = {
        {"gpu", "GeForce RTX, 12/0 0"}, {"gpu,host@", "GeForce RTX, 12/0 0"}, {"acc,host@,cpu@", "Acme CPU @ 3.0GHz/-1 0; pthread-Acme CPU @ 3.0GHz/0 0"},
        {"dgpu@3,cpu@1", "GeForce RTX, 12/0 3; pthread-Acme CPU @ 3.0GHz/0 1"}, {"dgpu@0.25,dgpu@12.5", "GeForce RTX, 12/0 0.25; GeForce RTX, 12/1 12.5"},
        {"host@,host@", "error 2"}, {"host@,host@?", "Acme CPU @ 3.0GHz/-1 0"}, {"host@,acc@?", "Acme CPU @ 3.0GHz/-1 0"},
        {"cpu@,cpu@,!portable:*", "error 2"}, {"cpu@,!portable:*", "Acme CPU @ 3.0GHz/0 0"}, {"host@1,cpu@", "error 1"}, {"auto@,auto@", "GeForce RTX, 12/0 0; GeForce RTX, 12/1 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = together(rows[i][0]);
        if (!strncmp(rows[i][1], "error", 5)) ck_assert_msg(!strncmp(got, "error", 5) && ca_message()[0], "%s: %s", rows[i][0], got);
        else ck_assert_msg(!strcmp(got, rows[i][1]), "%s: %s", rows[i][0], got);
    }
}
END_TEST

START_TEST(never_replaced)
{
    expect_error("amd:0", CLATTN_E_NO_DEVICE, "\n  NVIDIA CUDA:0  (gpu-discrete)");
    expect_error("amd:0", CLATTN_E_NO_DEVICE, "\n  host  (host)");
    expect_error("nvidia:7", CLATTN_E_NO_DEVICE, "matches no usable device");
    expect_error("*:9", CLATTN_E_NO_DEVICE, "matches no usable device");
}
END_TEST

START_TEST(refused_says_why)
{
    expect_error("xilinx:0", CLATTN_E_NO_DEVICE, "rows: f16: error 0.3 exceeds 1e-3");
    expect_error("xilinx:0", CLATTN_E_NO_DEVICE, "CLATTN_QUIRKS=off");
    expect_error("clover:*", CLATTN_E_NO_DEVICE, "Clover is abandoned");
    expect_error("acc", CLATTN_E_NO_DEVICE, "Xilinx:Board");
    ck_assert_str_eq(chosen("xilinx:0,host"), "Acme CPU @ 3.0GHz/-1");
    ck_assert_msg(strstr(reason, "passed over: Xilinx:Board"), "%s", reason);
    setenv("CLATTN_QUIRKS", "off", 1);
    ck_assert_str_eq(chosen("xilinx:0"), "Board/0");
    ck_assert_msg(strstr(reason, "although refused"), "%s", reason);
    ck_assert_str_eq(chosen("auto"), "GeForce RTX, 12/0");
}
END_TEST

START_TEST(environment)
{
    setenv("CLATTN_DEVICES", "igpu", 1);
    ck_assert_str_eq(chosen(NULL), "Acme Graphics/0");
    ck_assert_str_eq(reason, "named by CLATTN_DEVICES \"igpu\"");
    ck_assert_str_eq(chosen("host"), "Acme CPU @ 3.0GHz/-1");
    setenv("CLATTN_DEVICES", "a:", 1);
    expect_error(NULL, CLATTN_E_ARGUMENT, "CLATTN_DEVICES \"a:\", position 3");
    unsetenv("CLATTN_DEVICES");
    ck_assert_str_eq(chosen(NULL), "GeForce RTX, 12/0");
    ck_assert_str_eq(chosen(""), "GeForce RTX, 12/0");
}
END_TEST

START_TEST(unknown_ids)
{
    for (size_t i = 0; i < inv.count; i++) inv.entry[i].dev.uuid[0] = inv.entry[i].dev.pci[0] = 0;
    expect_error("uuid=00", CLATTN_E_NO_DEVICE, "no device here tells its UUID");
    expect_error("pci=0000:65:00.0", CLATTN_E_NO_DEVICE, "no device here tells its PCI address");
}
END_TEST

/* The text that the list shows selects that very device, whatever its name holds. */
START_TEST(selectors_are_exact)
{
    add(CLATTN_CLASS_SIMULATED, 8, 0, "We:ird, !Inc?", "@*?", 0);
    add(CLATTN_CLASS_SIMULATED, 9, 0, "Same", "Twin", 0);
    add(CLATTN_CLASS_SIMULATED, 10, 0, "Same", "Twin", 0);
    add(CLATTN_CLASS_SIMULATED, 11, 0, "0", "1", 0);
    char name[128];
    memset(name, 'n', 127);
    name[127] = 0;
    add(CLATTN_CLASS_SIMULATED, 12, 0, name, name, 0);
    ca_inventory_rank(&inv);
    for (size_t i = 0; i < inv.count; i++) {
        struct ca_choice c;
        if (!inv.entry[i].usable) continue;
        ck_assert_msg(!ca_select(&inv, inv.entry[i].selector, &c), "%s", ca_message());
        ck_assert_msg(c.entry[0] == &inv.entry[i], "%s selects %s", inv.entry[i].selector, c.entry[0]->selector);
    }
    ck_assert_str_eq(entry("NVIDIA CUDA:1")->dev.name, "GeForce RTX, 12");
    ck_assert_str_eq(entry("10:0")->dev.name, "Twin");
}
END_TEST

/* ---- the order */

START_TEST(reasons)
{
    ck_assert_str_eq(inv.entry[0].reason, "chosen: fastest measured, 5000 GFLOP/s");
    ck_assert(inv.entry[0].chosen);
    ck_assert_str_eq(entry("host")->reason, "slower than NVIDIA CUDA:0 (200 against 5000 GFLOP/s)");
    ck_assert_str_eq(entry("rusticl:NV120")->reason, "duplicate of NVIDIA CUDA:0");
    ck_assert_str_eq(entry("Xilinx:Board")->reason, "refused: self-test: rows: f16: error 0.3 exceeds 1e-3");
    ck_assert_str_eq(entry("Clover:Old Radeon")->reason, "refused: Clover is abandoned");
    for (size_t i = 0; i < inv.count; i++) {
        ck_assert_int_eq(inv.entry[i].rank, (int)i);
        ck_assert(inv.entry[i].reason[0]);
        if (inv.entry[i].dev.kind == CLATTN_CLASS_SIMULATED)
            ck_assert_str_eq(inv.entry[i].reason, "simulated: used only when named");
    }
}
END_TEST

/* Two equal cards stay two; the third view of one of them is for those who name it. */
START_TEST(duplicates_stay_out)
{
    ck_assert(!entry("NVIDIA CUDA:0")->duplicate && !entry("NVIDIA CUDA:1")->duplicate);
    ck_assert(entry("rusticl:NV120")->duplicate);
    ck_assert_str_eq(chosen("!nvidia:*,!igpu,auto"), "pthread-Acme CPU @ 3.0GHz/0");
    ck_assert_str_eq(chosen("rusticl:NV120"), "NV120/0");
}
END_TEST

/* The same driver registered twice: two platforms with the same facts. */
START_TEST(same_facts_are_duplicates)
{
    add(CLATTN_CLASS_IGPU, 8, 0, "Acme OpenCL Graphics", "Acme Graphics", 171);
    add(CLATTN_CLASS_IGPU, 9, 0, "Mesa", "Acme Graphics (tigerlake, LLVM 15.0.6, DRM 3)", 100);
    ca_inventory_rank(&inv);
    int duplicates = 0;
    for (size_t i = 0; i < inv.count; i++)
        duplicates += inv.entry[i].duplicate && inv.entry[i].dev.kind == CLATTN_CLASS_IGPU;
    ck_assert_int_eq(duplicates, 2);
}
END_TEST

/* A GPU wins against what is up to 1.3 times as fast, a discrete one against an integrated one. */
START_TEST(hysteresis)
{
    static const struct { double host, igpu, dgpu; const char *best;
    } rows[] = {
        {100, 80, 0, "I"},  {100, 76, 0, "host"}, {100, 80, 78, "D"},
        {100, 99, 70, "I"}, {100, 0, 0, "host"},  {0, 0, 0, "D"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        free(inv.entry);
        memset(&inv, 0, sizeof inv);
        add(CLATTN_CLASS_HOST, -1, -1, "host", "H", rows[i].host);
        add(CLATTN_CLASS_IGPU, 0, 0, "P", "I", rows[i].igpu);
        add(CLATTN_CLASS_DGPU, 0, 1, "P", "D", rows[i].dgpu);
        ca_inventory_rank(&inv);
        const struct inventory_entry *best = &inv.entry[0];
        const char *name = best->dev.kind == CLATTN_CLASS_HOST ? "host" : best->dev.name;
        ck_assert_msg(!strcmp(name, rows[i].best), "row %zu: %s", i, name);
        ck_assert(!strncmp(best->reason, "chosen: ", 8));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("select");
    TCase *t = tcase_create("select");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, good_selectors);
    tcase_add_test(t, several);
    tcase_add_test(t, bad_syntax);
    tcase_add_test(t, never_replaced);
    tcase_add_test(t, refused_says_why);
    tcase_add_test(t, environment);
    tcase_add_test(t, unknown_ids);
    tcase_add_test(t, selectors_are_exact);
    tcase_add_test(t, reasons);
    tcase_add_test(t, duplicates_stay_out);
    tcase_add_test(t, same_facts_are_duplicates);
    tcase_add_test(t, hysteresis);
    suite_add_tcase(s, t);
    return run_suite(s);
}
