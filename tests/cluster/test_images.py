"""The images: small, made of named parts, the same bytes each time, and whole enough to run."""
import json
import subprocess

import pytest

from images.build import IMAGES, PROGRAMS
from nodes.layout import REPOSITORY

MOST_BYTES = 60e6


def digests():
    lines = subprocess.run(["/usr/bin/python3", REPOSITORY / "images/build.py"], check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split()[-1] for line in lines]


def test_the_same_programs_make_the_same_bytes(images):
    before = {image: (IMAGES / f"{image}.tar").read_bytes() for image in PROGRAMS}
    assert len(digests()) == len(PROGRAMS)
    assert {image: (IMAGES / f"{image}.tar").read_bytes() for image in PROGRAMS} == before


@pytest.mark.parametrize("image", PROGRAMS)
def test_an_image_is_small_and_names_what_is_in_it(images, image):
    assert (IMAGES / f"{image}.tar").stat().st_size < MOST_BYTES
    packages = {package["name"]: package for package in json.loads((IMAGES / f"{image}.spdx.json").read_text())["packages"]}
    assert {"libc6", "libssl3", f"leat.dev/{image}"} <= packages.keys()
    assert all(package["versionInfo"] for package in packages.values())


@pytest.mark.parametrize("image", PROGRAMS)
def test_a_program_finds_all_its_libraries_in_its_image(kube, images, image):
    name = f"version-of-{image}"
    kube.kubectl("run", name, f"--image=leat.dev/{image}:0.1.0", "--image-pull-policy=Never", "--restart=Never", "--command", "--", image, "--version")
    try:
        kube.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
        assert kube.kubectl("logs", name).strip() == "0.1.0"
    finally:
        kube.kubectl("delete", "pod", name, "--now")
