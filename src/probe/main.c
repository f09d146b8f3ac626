/* main.c -- clattn-probe: the helper process in which drivers are examined, see src/runtime/probe.c. */
#include "plan/plan.h"
#include "runtime/inventory.h"

int main(int argc, char **argv) { return ca_probe_main(ca_plan_trial, argc, argv); }
