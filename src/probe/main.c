/* main.c -- clattn-probe: the helper process in which drivers are examined and tries of a tuning run, see src/runtime/probe.c and measure.h. */
#include "plan/plan.h"
#include "probe/measure.h"

int main(int argc, char **argv) { return ca_probe_main(ca_plan_trial, ca_measure, argc, argv); }
