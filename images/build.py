#!/usr/bin/python3
"""Leat's images, without Docker: the programs that were built here, stripped, with the shared libraries that they need, and nothing else.

    images/build.py                      build/images/leat-agent.tar, … and beside each what is in it, as SPDX 2.3 JSON
    images/build.py --root leat-agent FOLDER   the files of one image, for the Dockerfile

The same programs and libraries make the same bytes, whenever and wherever this runs."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
from images.oci import File, write_image  # noqa: E402

BUILD = Path(os.environ.get("LEAT_BUILD", REPOSITORY / "build"))
IMAGES = BUILD / "images"
REGISTRY = "leat.dev"
PROXY_USER, CA_USER = 61001, 65532  # charts/leat has the same

# image -> its programs, as the build has them; the first is what it runs
PROGRAMS = {
    "leat-agent": ["bin/leat-agent", "bin/leat", "bin/leat-cni"],  # the last is for the node
    "leat-ca": ["bin/leat-ca"],
    "leat-proxy": ["bin/leat-proxy", "bin/leat"],  # `kubectl exec` runs `leat` there, where it has no privilege
}
DATA = {"leat-agent": {"usr/share/leat/proxy-seccomp.json": REPOSITORY / "images/proxy-seccomp.json"}}  # which it puts on the node
USERS = {"leat-agent": "0:0", "leat-ca": f"{CA_USER}:{CA_USER}", "leat-proxy": f"{PROXY_USER}:{PROXY_USER}"}


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def version():
    return re.search(r"project\(leat VERSION (\S+)", (REPOSITORY / "CMakeLists.txt").read_text())[1]


# ---------------------------------------------------------------- what is in an image

def contents(image, scratch):
    """path -> File of an image. `scratch` takes the stripped programs."""
    files, libraries = {path: File(source) for path, source in DATA.get(image, {}).items()}, set()
    for program in PROGRAMS[image]:
        built = BUILD / program
        if not built.exists():
            sys.exit(f"images: {built} is not there; run ./dev build first")
        stripped = Path(scratch) / built.name
        run("llvm-strip-19", "--strip-unneeded", "-o", stripped, built)
        files[f"usr/bin/{built.name}"] = File(stripped, 0o755)
        libraries |= shared_libraries(built)
    for library in libraries:
        files[in_image(library)] = File(library.resolve(), 0o755)
    # As Debian has it: the loader's name begins with /lib64, and libraries are looked for in /lib.
    files |= {"lib": File("usr/lib"), "lib64": File("usr/lib64")}
    return files


def shared_libraries(program):
    """The paths under which the loader opens them, and the loader's own. A static program has none, and ldd exits 1."""
    if "INTERP" not in run("readelf", "--program-headers", "--wide", program):
        return set()
    return {Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+)", run("ldd", program), re.MULTILINE)}


def in_image(library):
    path = str(library).lstrip("/")
    return path if path.startswith("usr/") else f"usr/{path}"


# ---------------------------------------------------------------- what they are made of (SPDX)

def packages_of(files):
    """Debian package -> (version, source), of every library inside."""
    found = {}
    for file in files.values():
        if not isinstance(file.content, Path) or file.content.parts[1] == "tmp" or ".so" not in file.content.name:
            continue
        name = owner(file.content)
        found[name] = run("dpkg-query", "-W", "-f", "${Version} ${source:Package}", name).split()
    return found


def owner(library):
    # dpkg may know the file by the path that it had before /lib became a link.
    for path in (library, Path("/") / library.relative_to("/usr") if library.is_relative_to("/usr") else Path("/usr") / library.relative_to("/")):
        done = subprocess.run(["dpkg-query", "-S", str(path)], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(": ")[0]
    sys.exit(f"images: no Debian package has {library}: what may not be named can't be shipped")


def sbom(image, files, digest):
    def package(identifier, name, number, **more):
        return {"SPDXID": identifier, "name": name, "versionInfo": number, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
                "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", **more}

    def purl(reference):
        return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": reference}]

    whole = package("SPDXRef-image", f"{REGISTRY}/{image}", version(), primaryPackagePurpose="CONTAINER",
                    checksums=[{"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")}])
    parts = [package(f"SPDXRef-{re.sub('[^A-Za-z0-9.-]', '-', name)}", name.split(":")[0], number, primaryPackagePurpose="LIBRARY",
                     sourceInfo=f"built from: {source}", externalRefs=purl(f"pkg:deb/debian/{name.split(':')[0]}@{number}"))
             for name, (number, source) in sorted(packages_of(files).items())]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{image}-{version()}",
            "documentNamespace": f"https://leat.dev/spdx/{image}-{version()}-{digest.removeprefix('sha256:')[:16]}",
            "creationInfo": {"created": commit_time(), "creators": ["Tool: leat-images"]},
            "packages": [whole, *parts],
            "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"},
                              *({"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": part["SPDXID"]}
                                for part in parts)]}


def commit_time():
    """Of the last commit: the day of the build would make two builds of the same differ."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        command = ["date", "--utc", "--date", f"@{os.environ['SOURCE_DATE_EPOCH']}", "+%Y-%m-%dT%H:%M:%SZ"]
        return run(*command).strip()
    return run("git", "log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", cwd=REPOSITORY, env={**os.environ, "TZ": "UTC"}).strip()


# ---------------------------------------------------------------- the two ways to write it

def write_archive(image):
    with tempfile.TemporaryDirectory() as scratch:
        files = contents(image, scratch)
        archive = IMAGES / f"{image}.tar"
        digest = write_image(archive, f"{REGISTRY}/{image}:{version()}", files, [f"/usr/bin/{image}"], user=USERS[image],
                             labels={"org.opencontainers.image.title": image, "org.opencontainers.image.version": version()})
        archive.with_suffix(".spdx.json").write_text(json.dumps(sbom(image, files, digest), indent=1) + "\n")
    print(f"{archive.relative_to(REPOSITORY) if archive.is_relative_to(REPOSITORY) else archive}  "
          f"{archive.stat().st_size / 1e6:.1f} MB  {REGISTRY}/{image}:{version()}  {digest}")


def write_root(image, folder):
    with tempfile.TemporaryDirectory() as scratch:
        for path, file in sorted(contents(image, scratch).items()):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_link():
                target.symlink_to(file.content)
            else:
                target.write_bytes(file.bytes())
                target.chmod(file.mode)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", nargs=2, metavar=("IMAGE", "FOLDER"))
    options = parser.parse_args()
    if options.root:
        return write_root(options.root[0], Path(options.root[1]))
    for image in PROGRAMS:
        write_archive(image)


if __name__ == "__main__":
    main()
