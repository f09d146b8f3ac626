#!/bin/sh
# vendors.sh [DIR]: writes one folder of .icd files per OpenCL runtime, for OCL_ICD_VENDORS, so that a test sees
# exactly one of them. DIR is build/vendors unless told. A runtime that is missing has an empty folder.
#   pocl intel fpga rusticl clover oclgrind    one runtime each
#   all                                        all but oclgrind       none    nothing
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1-$root/build/vendors}
for d in pocl intel fpga rusticl clover oclgrind all none; do
  mkdir -p "$dir/$d"
  rm -f "$dir/$d"/*.icd
done

# Where the linker would find the newest library whose name begins so.
installed() {
  PATH=$PATH:/sbin:/usr/sbin ldconfig -p | awk -v name="$1" 'index($1, name) == 1 { print $NF; exit }'
}
runtime() { # name library
  if [ -n "$2" ] && [ -e "$2" ]; then
    echo "$2" >"$dir/$1/$1.icd"
    [ "$1" = oclgrind ] || cp "$dir/$1/$1.icd" "$dir/all/"
  fi
}
runtime pocl "$(installed libpocl.so.2)"
runtime intel "$root/.deps/intel/lib/libintelocl.so"
runtime fpga "$root/.deps/fpga/lib/libintelocl_emu.so"
runtime rusticl "$(installed libRusticlOpenCL.so.1)"
runtime clover "$(installed libMesaOpenCL.so.1)"
runtime oclgrind "$(find /usr/lib -maxdepth 3 -name liboclgrind-rt-icd.so 2>/dev/null | head -n 1)"
