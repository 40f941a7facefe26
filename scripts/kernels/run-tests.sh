#!/bin/bash
# In the guest: vitest on the selected tests; its report goes to the last disk as a tar.
export PATH=/veneer/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 NO_COLOR=1
export VENEER_TEST_SKIP= VENEER_TEST_NAMESPACE=machine VENEER_TEST_PATIENCE=20 CI=true
cd /veneer || exit 1
mkdir -p /out
mapfile -t selection <selection
echo "guest: the tests begin, $(cut -d' ' -f1 /proc/uptime) s"
cut -d' ' -f4,5 /proc/self/mountinfo >/out/before
node node_modules/vitest/vitest.mjs run --configLoader runner --no-cache --no-isolate \
  --reporter=verbose --reporter=json --outputFile.json=/out/results.json -t "${selection[0]}" "${selection[@]:1}" </dev/null 2>&1
cut -d' ' -f4,5 /proc/self/mountinfo >/out/after
diff /out/before /out/after >/out/leaks && echo "guest: no mount is left" || sed 's/^/guest: left mounted: /' /out/leaks
dmesg >/out/dmesg
echo "guest: the end, $(cut -d' ' -f1 /proc/uptime) s"
tar c -C /out results.json leaks dmesg >/dev/vdd
sync
