"""The forecast sees every limit of the machine, of the control groups and of the process."""

import random
import resource
import subprocess
import sys

import pytest

import fastebm as fe
from fastebm._runtime import memory
from fastebm._runtime.control_groups import cpu_quotas, memory_rooms

GB = 2**30
MEMINFO = "MemTotal: 64 kB\nMemFree: 4194304 kB\nMemAvailable: {} kB\nHugePages_Total: 0\n"
V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"


def tree(root, files, *, cgroup, mounts, available=32 * GB):
    """A root folder with the files of proc and these others."""
    files = files | {
        "proc/meminfo": MEMINFO.format(available // 1024),
        "proc/self/cgroup": cgroup,
        "proc/self/mountinfo": "22 27 0:21 / /proc rw - proc proc rw\n" + mounts,
        "proc/self/statm": "10 5 1 1 0 4 0",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))
    return root


def v2(group, limit, used, **others):
    """Files of a group of version 2 in which `used` bytes and 1 GB of page cache are charged."""
    folder = f"sys/fs/cgroup/{group}"
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used + GB}\n",
        f"{folder}/memory.stat": f"anon {used}\nactive_file {GB // 4}\ninactive_file {GB // 4}\n"
        f"slab_reclaimable {GB // 2}\nshmem 7\nfile 77\n",
        **{f"{folder}/{name}": text for name, text in others.items()},
    }


def v1(group, limit, used, **others):
    folder = f"sys/fs/cgroup/memory/{group}"
    return {
        f"{folder}/memory.limit_in_bytes": limit,
        f"{folder}/memory.usage_in_bytes": used + GB,
        f"{folder}/memory.stat": f"total_active_file {GB // 2}\ntotal_inactive_file {GB // 2}\n"
        "active_file 1\n",
        f"{folder}/memory.use_hierarchy": 1,
        **{f"{folder}/{name}": text for name, text in others.items()},
    }


V1_UNLIMITED = 9223372036854771712
# (files, /proc/self/cgroup, mounts) -> bytes that are free, 32 GB in the machine
TREES = {
    "v2, own group": (v2("job", 8 * GB, 3 * GB), "0::/job\n", V2_MOUNT, 5 * GB),
    "v2, two levels up": (
        v2("job", 16 * GB, 3 * GB) | v2("job/step/task", "max", GB) | v2("job/step", 20 * GB, GB),
        "0::/job/step/task\n",
        V2_MOUNT,
        13 * GB,
    ),
    "v2, a level without the controller": (
        v2("job", 8 * GB, GB) | {"sys/fs/cgroup/job/step/cgroup.procs": ""},
        "0::/job/step\n",
        V2_MOUNT,
        7 * GB,
    ),
    "v2, memory.high": (
        v2("job", 8 * GB, GB, **{"memory.high": 3 * GB}),
        "0::/job\n",
        V2_MOUNT,
        2 * GB,
    ),
    "v2, the group of a container is the mount": (
        v2("", 4 * GB, GB),
        "0::/kubepods/pod1/abc\n",
        V2_MOUNT,
        3 * GB,
    ),
    "v2, a mount of a part, below which the group is": (
        v2("step", 4 * GB, GB) | v2("", 3 * GB, GB),
        "0::/pod1/step\n",
        V2_MOUNT.replace("0:28 /", "0:28 /pod1"),
        2 * GB,
    ),
    "v2, a mount of a part with a longer name": (
        v2("2", 2 * GB, GB) | v2("", 4 * GB, GB),
        "0::/pod12\n",
        V2_MOUNT.replace("0:28 /", "0:28 /pod1"),
        3 * GB,
    ),
    "v2, outside the namespace": (v2("", 4 * GB, GB), "0::/../other\n", V2_MOUNT, 3 * GB),
    "v2, removed group": (v2("job", 4 * GB, GB), "0::/job/x (deleted)\n", V2_MOUNT, 3 * GB),
    "v2, over its limit": (v2("job", 2 * GB, 3 * GB), "0::/job\n", V2_MOUNT, 0),
    "v2, a space in the mount point": (
        {"sys/c g/job/memory.max": GB, "sys/c g/job/memory.current": 0},
        "0::/job\n",
        V2_MOUNT.replace("/sys/fs/cgroup", "/sys/c\\040g"),
        GB,
    ),
    "v2, more than the machine": (v2("job", 99 * GB, GB), "0::/job\n", V2_MOUNT, 32 * GB),
    "v2, a number that no integer type holds": (
        v2("job", 10**28, GB) | v2("job/a", 10**99, GB),
        "0::/job/a\n",
        V2_MOUNT,
        32 * GB,
    ),
    "v2, garbage": (
        v2("job", "-5", GB) | v2("job/a", "lots", GB),
        "0::/job/a\nnonsense\n:::\n\n",
        V2_MOUNT + "short - line\n - \n31 23 0:28 / /sys\n",
        32 * GB,
    ),
    "v1, own group": (v1("job", 8 * GB, 3 * GB), "4:memory:/job\n", V1_MOUNT, 5 * GB),
    "v1, above": (
        v1("a/b", V1_UNLIMITED, GB) | v1("a", 6 * GB, 2 * GB) | v1("", V1_UNLIMITED, 9 * GB),
        "9:cpu,cpuacct:/\n4:hugetlb,memory:/a/b\n",
        V1_MOUNT,
        4 * GB,
    ),
    "v1, above without hierarchy": (
        v1("a/b", 9 * GB, GB) | v1("a", 6 * GB, 2 * GB, **{"memory.use_hierarchy": 0}),
        "4:memory:/a/b\n",
        V1_MOUNT,
        8 * GB,
    ),
    "v1, memory with swap": (
        v1("a", 9 * GB, GB)
        | {
            "sys/fs/cgroup/memory/a/memory.memsw.limit_in_bytes": 9 * GB,
            "sys/fs/cgroup/memory/a/memory.memsw.usage_in_bytes": 7 * GB,
        },
        "4:memory:/a\n",
        V1_MOUNT,
        3 * GB,
    ),
    "v1, container": (
        v1("", 3 * GB, GB),
        "4:memory:/docker/abc\n",
        V1_MOUNT.replace("0:32 /", "0:32 /docker/abc"),
        2 * GB,
    ),
    "hybrid": (
        v1("job", 8 * GB, 3 * GB) | {"sys/fs/cgroup/unified/job/cgroup.procs": ""},
        "4:memory:/job\n1:name=systemd:/x\n0::/job\n",
        V1_MOUNT + V2_MOUNT.replace("cgroup rw", "cgroup/unified rw"),
        5 * GB,
    ),
    "v1 cpu groups do not count": (
        v1("job", 8 * GB, 3 * GB),
        "4:cpu:/job\n",
        V1_MOUNT.replace("rw,memory", "rw,cpu"),
        32 * GB,
    ),
    "no groups": ({}, "", "", 32 * GB),
}


@pytest.fixture(autouse=True)
def ulimits_of_the_test_run_do_not_count(monkeypatch):
    monkeypatch.setattr(memory, "_process_rooms", lambda root: ())


@pytest.mark.parametrize("files, cgroup, mounts, free", TREES.values(), ids=TREES)
def test_every_level_of_the_control_groups_counts(files, cgroup, mounts, free, tmp_path):
    root = tree(tmp_path, files, cgroup=cgroup, mounts=mounts)
    assert memory._smallest_room(root)[0] == free


def test_the_group_that_limits_is_named(tmp_path):
    files, cgroup, mounts, _ = TREES["v2, two levels up"]
    root = tree(tmp_path, files, cgroup=cgroup, mounts=mounts)
    assert memory._smallest_room(root)[1].endswith("sys/fs/cgroup/job")


def test_a_process_that_is_moved_has_the_limit_of_its_new_group(tmp_path):
    files = v2("a", 4 * GB, GB) | v2("b", 3 * GB, GB)
    for group, free in (("a", 3 * GB), ("b", 2 * GB)):
        root = tree(tmp_path, files, cgroup=f"0::/{group}\n", mounts=V2_MOUNT)
        assert memory._smallest_room(root)[0] == free


def test_page_cache_and_old_kernels_and_strict_accounting(tmp_path):
    root = tree(tmp_path, {}, cgroup="", mounts="")
    (root / "proc/meminfo").write_text("MemFree: 1024 kB\nBuffers: 1024 kB\nCached: 2048 kB\n")
    assert memory._smallest_room(root)[0] == 4 * 2**20
    (root / "proc/meminfo").write_text(
        "MemAvailable: 4096 kB\nCommitLimit: 3072 kB\nCommitted_AS: 1024 kB\n"
    )
    (root / "proc/sys/vm").mkdir(parents=True)
    (root / "proc/sys/vm/overcommit_memory").write_text("0\n")
    assert memory._smallest_room(root)[0] == 4 * 2**20
    (root / "proc/sys/vm/overcommit_memory").write_text("2\n")
    assert memory._smallest_room(root)[0] == 2 * 2**20


def test_broken_files_of_the_system_raise_nothing(tmp_path):
    """Truncated, empty, binary and missing files, whatever they limit."""
    rng = random.Random(1)
    for trial in range(60):
        files, cgroup, mounts, _ = rng.choice(list(TREES.values()))
        root = tree(tmp_path / str(trial), files, cgroup=cgroup, mounts=mounts)
        for path in [path for path in root.rglob("*") if path.is_file()]:
            raw = path.read_bytes()
            kind = rng.randrange(5)
            if kind == 0:
                path.unlink()
            elif kind == 1:
                path.write_bytes(raw[: rng.randrange(len(raw) + 1)])
            elif kind == 2:
                path.write_bytes(bytes(rng.randrange(256) for _ in range(40)))
        assert 0 <= memory._smallest_room(root)[0] <= sys.maxsize
    assert memory._smallest_room(tmp_path / "nothing")[0] > 0
    assert list(memory_rooms(GB, tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    "files, cgroup, mounts, quotas",
    [
        (
            {
                "sys/fs/cgroup/a/cpu.max": "250000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000",
            },
            "0::/a/b\n",
            V2_MOUNT,
            [2.5],
        ),
        (
            {
                "sys/fs/cgroup/memory/a/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/memory/a/cpu.cfs_period_us": "50000",
                "sys/fs/cgroup/memory/a/b/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/memory/a/b/cpu.cfs_period_us": "100000",
            },
            "3:cpu,cpuacct:/a/b\n",
            V1_MOUNT.replace("rw,memory", "rw,cpu,cpuacct"),
            [3.0],
        ),
        ({"sys/fs/cgroup/cpu.max": "1 0"}, "0::/\n", V2_MOUNT, []),
        ({"sys/fs/cgroup/cpu.max": "x"}, "0::/\n", V2_MOUNT, []),
    ],
)
def test_quotas_of_processor_time_count_at_every_level(files, cgroup, mounts, quotas, tmp_path):
    assert list(cpu_quotas(tree(tmp_path, files, cgroup=cgroup, mounts=mounts))) == quotas


LIMITED = """
import resource, fastebm as fe, numpy as np
from fastebm._runtime.memory import free_memory
chain = fe.MarkovChain(np.full((2, 2), 0.5))
before = free_memory()
resource.setrlimit(resource.{name}, (2 * 2**30, resource.RLIM_INFINITY))
assert before > free_memory() > 2**28, free_memory()
held = np.ones(2**26)  # 512 MB
assert free_memory() < 2**30 + 2**29, free_memory()
try:
    fe.simulate(chain, 10**9)
except fe.MemoryForecastError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is needed")
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process_count(name):
    room = memory.free_memory()
    if room < 3 * GB or resource.getrlimit(getattr(resource, name))[0] != resource.RLIM_INFINITY:
        pytest.skip("this process has too little memory for the test")
    done = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED.format(name=name)], capture_output=True, text=True
    )
    assert name in done.stdout, done.stderr
    assert "4,000,000,0" in done.stdout and "n_steps" in done.stdout


def test_sizes_beyond_the_address_space_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "_machine_rooms", lambda root: ())
    monkeypatch.setattr(memory, "memory_rooms", lambda ceiling, root: ())
    memory.forecast_memory(2**60, "nothing")
    with pytest.raises(fe.MemoryForecastError, match="largest size of an array"):
        memory.forecast_memory(2**64, "everything", "lower n_steps")
