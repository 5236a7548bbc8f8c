"""OCI images without Docker: one layer of named files, written so that the same input gives the same bytes.

    write_image(Path("agent.tar"), "leat.dev/leat-agent:0.1.0", {"usr/bin/leat-agent": File(path, 0o755)}, ["/usr/bin/leat-agent"])

The archive is an OCI image layout (image-spec v1.1) in a tar, which `ctr images import`, `skopeo copy oci-archive:` and, since 25, `docker load`
read. Standard library only."""
import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

_MEDIA = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class File:
    """What one path of an image holds: a file's bytes, or where a link points to."""
    content: Path | bytes | str  # a file of this machine, the bytes themselves, or the target of a symbolic link
    mode: int = 0o644

    def is_link(self):
        return isinstance(self.content, str)

    def bytes(self):
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


def write_image(archive, name, files, entrypoint, *, user="", labels=None, environment=()):
    """Writes the image NAME with `files` (path without a leading slash -> File) and returns its digest."""
    layer = _layer(files)
    packed = gzip.compress(layer, compresslevel=9, mtime=0)
    blobs = {}

    def blob(content, kind, **more):
        content = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content), **more}

    config = blob({"architecture": _ARCHITECTURES[os.uname().machine], "os": "linux",
                   "config": {"Entrypoint": list(entrypoint), "User": user, "WorkingDir": "/", "Labels": labels or {},
                              "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", *environment]},
                   "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}}, "config.v1+json")
    manifest = blob({"schemaVersion": 2, "mediaType": f"{_MEDIA}.manifest.v1+json", "config": config,
                     "layers": [blob(packed, "layer.v1.tar+gzip")]}, "manifest.v1+json",
                    annotations={"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]})
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}, sort_keys=True).encode()

    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(blobs):
            _add(tar, path, blobs[path], 0o644)
    return manifest["digest"]


def _layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}
        for path in sorted(folders | set(files)):
            if path in files and files[path].is_link():
                info = _info(path, 0o777)
                info.type, info.linkname = tarfile.SYMTYPE, files[path].content
                tar.addfile(info)
            elif path in files:
                _add(tar, path, files[path].bytes(), files[path].mode)
            else:
                info = _info(path, 0o755)
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
    return out.getvalue()


def _info(path, mode):
    info = tarfile.TarInfo(path)  # owner root, time 0: nothing of this machine
    info.mode = mode
    return info


def _add(tar, path, content, mode):
    info = _info(path, mode)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
