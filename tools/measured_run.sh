#!/usr/bin/env bash
# What tools/container.py runs in a container: grades what is in /autograder/submission, and writes down, in
# /autograder/usage.json, what that took of the container's memory and time.
set -uo pipefail

stat=/sys/fs/cgroup/memory.stat # cgroups of version 2, and below those of version 1
if [[ -e $stat ]]; then
    peak=/sys/fs/cgroup/memory.peak kills=/sys/fs/cgroup/memory.events
    cpu() { sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat; }
else
    folder=/sys/fs/cgroup/memory
    stat=$folder/memory.stat peak=$folder/memory.max_usage_in_bytes kills=$folder/memory.oom_control
    cpu() { echo $(($(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000)); }
fi

# Keep the largest sum of what can't be dropped, as the cache of files can: the peak of all is often the limit.
watch_memory() {
    local most=0 sum key value
    while true; do
        sum=0
        while read -r key value; do
            case $key in anon | shmem | rss) ((sum += value)) ;; esac
        done < "$stat"
        ((sum > most)) && most=$sum && echo "$most" > /autograder/memory
        sleep 0.2
    done
}

watch_memory &
watching=$!
from=$(cpu) began=${EPOCHREALTIME/./}
cd /autograder && ./source/run_autograder
ended=${EPOCHREALTIME/./} to=$(cpu)
kill "$watching"
printf '{"seconds": %d, "cpu": %d, "memory": %d, "peak": %d, "kills": %d}\n' \
    $((ended - began)) $((to - from)) "$(cat /autograder/memory)" "$(cat "$peak" || echo 0)" \
    "$(sed -n 's/^oom_kill //p' "$kills")" > /autograder/usage.json
