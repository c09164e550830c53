"""The Android app as it is built: its package, and its own classes beside the Python runtime.

    android_demo/build.sh --tests FOLDER
    EDGECAP_ANDROID_BUILD=FOLDER pytest tests/test_android.py

The classes of the package's dex are turned back into a jar by enjarify and run on the JVM, so what
is tested is what a phone runs, but for Android's own virtual machine and native code for Arm: for
that stand LiteRT of the Python wheel, and TensorFlow Lite's Android library for x86-64.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import android_host, android_vectors

pytestmark = pytest.mark.android

_VARIABLE = "EDGECAP_ANDROID_BUILD"
_DEMO = Path(__file__).parent.parent / "android_demo"
_MAX_APK_BYTES = 12_000_000
# The first whose C functions are those that LiteRtRunner.java calls.
_LITERT = (2, 3)
_CORE = ("PreprocessorTest", "DecisionTest", "ModelFileTest", "StreamTest", "ParityTest")
TFLITE = "edgecap.demo.TfliteRunnerTest"
TEST_CLASSES = (*(f"edgecap.core.{name}" for name in _CORE), TFLITE)


class Build:
    """A folder that ``build.sh --tests`` has made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.apk = folder / "edgecap-demo.apk"
        self.debian = folder / "debian"
        self.jars = sorted(folder.glob("tflite/*/classes.jar"))

    def maven(self, prefix: str) -> Path:
        (jar,) = self.folder.glob(f"maven/{prefix}*.jar")
        return jar

    def native(self, tool: str, *arguments: str | Path) -> str:
        """Runs aapt or zipalign with the libraries that lie beside it."""
        folders = ("lib/x86_64-linux-gnu", "usr/lib", "usr/lib/p7zip", "usr/lib/x86_64-linux-gnu")
        paths = [self.debian / name for name in (*folders, "usr/lib/x86_64-linux-gnu/android")]
        program = self.debian / "usr/lib/android-sdk/build-tools/debian" / tool
        environment = os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(map(str, paths))}
        return call([program, *arguments], env=environment)

    def apksigner(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        jar = self.debian / "usr/share/java/apksigner.jar"
        command = ["java", "-jar", jar, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def call(command: Sequence[str | Path], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return str(done.stdout)


def javac(sources: Path, classes: Path, classpath: Sequence[Path], *options: str | Path) -> None:
    files = sorted(sources.rglob("*.java"))
    assert files, f"expected sources in {sources}"
    path = os.pathsep.join(map(str, classpath))
    call(["javac", "-encoding", "UTF-8", *options, "-cp", path, "-d", classes, *files])


@pytest.fixture(scope="module")
def build() -> Build:
    """The build that the variable names."""
    folder = os.environ.get(_VARIABLE)
    if not folder:
        pytest.skip(f"set {_VARIABLE} to a folder made by android_demo/build.sh --tests")
    for tool in ("java", "javac"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: install a JDK, 17 or later")
    found = Build(Path(folder))
    if not found.apk.exists() or not (found.debian / "usr/bin/enjarify").exists():
        pytest.skip(f"{folder} holds no complete build; run android_demo/build.sh --tests {folder}")
    return found


@pytest.fixture(scope="module")
def dex_classes(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classes of the package's dex as a jar."""
    jar = tmp_path_factory.mktemp("dex") / "classes.jar"
    packages = str(build.debian / "usr/lib/python3/dist-packages")
    told = call(
        [sys.executable, "-m", "enjarify.main", build.apk, "-o", jar, "-f"],
        env=os.environ | {"PYTHONPATH": packages},
    )
    assert re.search(r"^\d+ classes translated successfully, 0 classes had errors$", told, re.M)
    return jar


@pytest.fixture(scope="module")
def test_classes(
    build: Build, dex_classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """A class path with the tests and the classes of the dex, those of the compiler not among them.

    The tests are compiled against the latter: a dex keeps no generics that a compiler would read.
    """
    classes = tmp_path_factory.mktemp("tests")
    libraries = [build.maven(name) for name in ("junit", "hamcrest", "jna")]
    compiled = [classes, build.folder / "work/core", build.folder / "work/app", *build.jars]
    for part in ("core", "app"):
        sources = _DEMO / part / "src/test/java"
        javac(sources, classes, [*compiled, *libraries], "-Xlint:all,-processing", "-Werror")
    # TensorFlow Lite's own classes before those of the dex: a jar of enjarify's is of a version of
    # class files in which interfaces have no static methods.
    return [classes, *build.jars, dex_classes, *libraries]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    android_vectors.write(folder)
    return folder


@pytest.fixture(scope="module")
def litert() -> str:
    """The library with LiteRT's C functions."""
    spec = importlib.util.find_spec("ai_edge_litert")
    library = Path(spec.origin or "").parent / "libLiteRt.so" if spec else None
    if library is None or not library.exists():
        pytest.skip("needs libLiteRt.so of ai-edge-litert")
    version = importlib.metadata.version("ai-edge-litert")
    if tuple(int(part) for part in version.split(".")[:2]) < _LITERT:
        pytest.skip(f"needs ai-edge-litert 2.3, whose C functions are known; found {version}")
    return str(library)


@pytest.fixture(scope="module")
def tflite(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with TensorFlow Lite's Android library, made to run here."""
    if platform.machine() != "x86_64":
        pytest.skip("needs x86-64: TensorFlow Lite's Android library for it runs here")
    folder = tmp_path_factory.mktemp("tflite")
    (aar,) = build.folder.glob("maven/tensorflow-lite-2*.aar")
    android_host.prepare(aar, "jni/x86_64", folder)
    return folder


@pytest.mark.parametrize("name", TEST_CLASSES)
def test_the_classes_of_the_dex_do_what_python_does(
    name: str,
    test_classes: list[Path],
    vectors: Path,
    request: pytest.FixtureRequest,
) -> None:
    options, environment = ["-ea", f"-Dedgecap.vectors={vectors}"], os.environ.copy()
    if name == TFLITE:
        folder = request.getfixturevalue("tflite")
        options.append(f"-Djava.library.path={folder}")
        # Threads are counted: the JVM shall start none of its own meanwhile.
        options += ["-XX:+UseSerialGC", "-XX:-UseDynamicNumberOfCompilerThreads"]
        environment["LD_LIBRARY_PATH"] = str(folder)
    else:
        options.append(f"-Dedgecap.litert={request.getfixturevalue('litert')}")
    path = os.pathsep.join(map(str, test_classes))
    told = call(
        ["java", *options, "-cp", path, "org.junit.runner.JUnitCore", name],
        env=environment,
        cwd=vectors,
    )
    assert re.search(r"^OK \(\d+ tests?\)$", told, re.M), told


def test_no_class_of_tests_is_left_out() -> None:
    files = _DEMO.glob("*/src/test/java/**/*Test.java")
    assert {file.stem for file in files} == {name.rpartition(".")[2] for name in TEST_CLASSES}


def test_the_package_is_signed(build: Build, tmp_path: Path) -> None:
    done = build.apksigner("verify", "-v", "--min-sdk-version", "24", build.apk)
    assert done.returncode == 0, done.stderr
    assert "v2 scheme (APK Signature Scheme v2): true" in done.stdout
    changed = bytearray(build.apk.read_bytes())
    changed[len(changed) // 2] ^= 1
    broken = tmp_path / "broken.apk"
    broken.write_bytes(changed)
    assert build.apksigner("verify", broken).returncode != 0


def test_the_package_is_aligned_and_its_native_libraries_on_pages(build: Build) -> None:
    build.native("zipalign", "-c", "-p", "4", build.apk)


def test_the_manifest_declares_what_the_app_is(build: Build) -> None:
    told = build.native("aapt", "dump", "badging", build.apk)
    assert "package: name='edgecap.demo'" in told
    assert "sdkVersion:'24'" in told
    assert "targetSdkVersion:'34'" in told
    assert "launchable-activity: name='edgecap.demo.MainActivity'" in told
    assert "native-code: 'arm64-v8a' 'armeabi-v7a'" in told
    # Nothing leaves the phone: the network is not even asked for.
    assert re.findall(r"uses-permission: name='([^']+)'", told) == ["android.permission.CAMERA"]
    for camera in ("android.hardware.camera", "android.hardware.camera.any"):
        assert f"uses-feature-not-required: name='{camera}'" in told
    tree = build.native("aapt", "dump", "xmltree", build.apk, "AndroidManifest.xml")
    assert re.search(r"android:exported\(0x01010010\)=\(type 0x12\)0xffffffff", tree)
    assert re.search(r"android:extractNativeLibs\(0x010104ea\)=\(type 0x12\)0x0", tree)


def test_the_package_holds_model_dex_and_native_libraries(build: Build, demo_path: Path) -> None:
    assert build.apk.stat().st_size < _MAX_APK_BYTES
    with zipfile.ZipFile(build.apk) as archive:
        assert archive.testzip() is None
        stored = {
            entry.filename
            for entry in archive.infolist()
            if entry.compress_type == zipfile.ZIP_STORED
        }
        model = "assets/models/gestures-demo.tflite"
        assert archive.read(model) == demo_path.read_bytes()
        # Since Android 11 the table of resources must be stored; libraries that are mapped, too.
        libraries = {f"lib/{abi}/libtensorflowlite_jni.so" for abi in ("arm64-v8a", "armeabi-v7a")}
        assert {model, "resources.arsc", *libraries} <= stored
        assert archive.read("classes.dex").startswith(b"dex\n037\0")
        machines = {name: int.from_bytes(archive.read(name)[18:20], "little") for name in libraries}
    assert sorted(machines.values()) == [40, 183], "expected ELF for Arm and AArch64"


def test_the_sources_type_check_against_a_recent_api(build: Build, tmp_path: Path) -> None:
    """The package is compiled against API 23; here stands Android 14, its target.

    Java's own classes are not in that jar; those of Java 8 stand for them.
    """
    api = build.maven("android-all")
    java8 = ("--release", "8", "-Xlint:all,-options,-processing")
    core, app = tmp_path / "core", tmp_path / "app"
    javac(_DEMO / "core/src/main/java", core, [], *java8, "-Werror")
    (resources,) = (build.folder / "work/gen").rglob("R.java")
    sources = tmp_path / "sources"
    shutil.copytree(_DEMO / "app/src/main/java", sources)
    shutil.copy(resources, sources)
    javac(sources, app, [core, api, *build.jars], *java8)
    assert (app / "edgecap/demo/MainActivity.class").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "no.tflite"], "--model: expected a .tflite file; got 'no.tflite'"),
        (["--modle"], "expected [--model FILE] [--tests] [FOLDER]; got --modle"),
        (["one", "two"], "expected [--model FILE] [--tests] [FOLDER]; got one two"),
    ],
)
def test_the_build_refuses_what_it_does_not_know(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    command = ["bash", _DEMO / "build.sh", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_build_says_what_is_missing(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "mkdir", "env", "apt-get", "dpkg", "java", "javac", "keytool"):
        found = shutil.which(tool)
        if found is None:
            pytest.skip(f"needs {tool}")
        (tools / tool).symlink_to(found)
    done = subprocess.run(
        [tools / "bash", _DEMO / "build.sh", tmp_path / "out"],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "expected mvn; it is not installed" in done.stderr
