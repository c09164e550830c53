#!/usr/bin/env bash
# Builds edgecap-demo.apk from this checkout with packages of Debian and Maven Central alone.
#
#   android_demo/build.sh [--model FILE] [--tests] [FOLDER]       FOLDER is build/android unless given
#
# --model puts another model into the package than the demonstration's.
#
# Debian's packages are downloaded and unpacked into FOLDER, not installed, so it needs no root:
# bullseye has android.jar (API 23) and dx, bookworm aapt, zipalign and apksigner. What is in FOLDER
# already is used again. --tests also fetches what tests/test_android.py needs. The signing key is
# made once per FOLDER: an APK of another key must be uninstalled from a phone before.
#
# Needs: Linux on x86-64 with glibc 2.34 or later, apt-get, dpkg, a JDK 17 or later, Maven, unzip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(
  libandroid-23-java dalvik-exchange aapt zipalign apksigner libapksig-java
  # What aapt and zipalign load; the C library and those of GCC are the host's.
  android-libaapt android-libandroidfw android-libbacktrace android-libbase android-libcutils
  android-liblog android-libutils android-libziparchive libbsd0 libexpat1 libmd0 libpng16-16
  libprotobuf-lite32 libzopfli1 p7zip-full
)
copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies

fail() {
  echo "build.sh: $*" >&2
  exit 1
}

# Runs a command quietly; on failure, says what it was for and shows its last words.
step() {
  local what=$1
  shift
  if ! "$@" >"$out/log.txt" 2>&1; then
    tail -n 15 "$out/log.txt" >&2
    fail "$what failed; its last words are above"
  fi
}

tests=
model=$here/../edgecap/assets/gestures-demo.tflite
while [[ ${1:-} == --* ]]; do
  case $1 in
    --tests)
      tests=yes
      packages+=(enjarify)
      shift
      ;;
    --model)
      model=${2:-}
      [[ -f $model && $model == *.tflite ]] || fail "--model: expected a .tflite file; got '$model'"
      model=$(realpath "$model")
      shift 2
      ;;
    *) fail "expected [--model FILE] [--tests] [FOLDER]; got $1" ;;
  esac
done
[ $# -le 1 ] || fail "expected [--model FILE] [--tests] [FOLDER]; got $*"
out=${1:-$here/../build/android}
mkdir -p "$out"
out=$(cd "$out" && pwd)

for tool in apt-get dpkg java javac keytool mvn unzip; do
  command -v "$tool" >/dev/null ||
    fail "expected $tool; it is not installed. On Debian: apt install openjdk-17-jdk-headless maven unzip"
done
[ "$(uname -sm)" = "Linux x86_64" ] || fail "expected Linux on x86_64; this is $(uname -sm)"
[ -r "$keyring" ] || fail "expected $keyring; install debian-archive-keyring"

# --- packages of Debian, with lists, status and cache of their own
root=$out/debian
if [ "$(cat "$root/complete" 2>/dev/null)" != "${packages[*]}" ]; then
  rm -rf "$root" "$out/apt"
  mkdir -p "$root" "$out"/apt/{state/lists,cache/archives,debs,none}
  mkdir "$out/apt/state/lists/partial" "$out/apt/cache/archives/partial"
  touch "$out/apt/status"
  for suite in bullseye bookworm; do
    echo "deb [signed-by=$keyring arch=amd64] $mirror $suite main"
  done >"$out/apt/sources.list"
  cat >"$out/apt/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Update::Error-Mode "any";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Debug::NoLocking "true";
Dir::State "$out/apt/state";
Dir::State::status "$out/apt/status";
Dir::Cache "$out/apt/cache";
Dir::Etc::sourcelist "$out/apt/sources.list";
Dir::Etc::sourceparts "$out/apt/none";
Dir::Etc::preferences "$out/apt/none/preferences";
Dir::Etc::preferencesparts "$out/apt/none";
CONF
  export APT_CONFIG=$out/apt/apt.conf
  cd "$out/apt/debs"
  step "reading Debian's package lists at $mirror" apt-get -q update
  step "downloading Debian's packages" apt-get -q download "${packages[@]}"
  for deb in *.deb; do step "unpacking $deb" dpkg -x "$deb" "$root"; done
  cd "$here"
  rm -rf "$out/apt"
  echo "${packages[*]}" >"$root/complete"
fi
android_jar=$root/usr/lib/android-sdk/platforms/android-23/android.jar
tools=$root/usr/lib/android-sdk/build-tools/debian
libraries=$root/lib/x86_64-linux-gnu:$root/usr/lib:$root/usr/lib/p7zip
libraries+=:$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu/android
native() { LD_LIBRARY_PATH=$libraries "$@"; }

# --- TensorFlow Lite from Maven Central
maven=$out/maven
rm -rf "$maven" "$out/tflite"
step "fetching from Maven Central" \
  mvn -q -B -f "$here/pom.xml" ${tests:+-Ptests} "$copy" "-DoutputDirectory=$maven"
jars=()
for aar in "$maven"/*.aar; do
  unpacked=$out/tflite/$(basename "$aar" .aar)
  mkdir -p "$unpacked"
  # Its complaint is of what not each has; that the classes are there is looked at.
  unzip -qo "$aar" classes.jar 'jni/arm64-v8a/*' 'jni/armeabi-v7a/*' LICENSE -d "$unpacked" \
    >"$out/log.txt" 2>&1 || [ -e "$unpacked/classes.jar" ] || fail "$aar: expected classes.jar in it"
  jars+=("$unpacked/classes.jar")
done
classpath=$(IFS=:; echo "${jars[*]}")

# --- resources, classes, dex
work=$out/work
rm -rf "$work"
mkdir -p "$work"/{gen,core,app,apk/lib,assets/models,assets/licences}
cp "$model" "$work/assets/models/"
cp "$here/../LICENSE" "$work/assets/licences/edgecap.txt"
cp "$out"/tflite/tensorflow-lite-2*/LICENSE "$work/assets/licences/tensorflow-lite.txt"
main=$here/app/src/main
setting() { sed -n "s/^ *$1 = '\{0,1\}\([^']*\)'\{0,1\}$/\1/p" "$here/app/build.gradle"; }
min_sdk=$(setting minSdk)
# What Gradle's plugin would put there; without extraction, Android maps the libraries in the APK.
sed -e "s/<manifest/& package=\"$(setting namespace)\"/" \
  -e 's/<application/& android:extractNativeLibs="false"/' \
  "$main/AndroidManifest.xml" >"$work/AndroidManifest.xml"
step "aapt" native "$tools/aapt" package -f -m -J "$work/gen" -M "$work/AndroidManifest.xml" \
  --min-sdk-version "$min_sdk" --target-sdk-version "$(setting targetSdk)" \
  --version-code "$(setting versionCode)" --version-name "$(setting versionName)" \
  -S "$main/res" -A "$work/assets" -0 tflite -I "$android_jar" -F "$work/resources.apk"
# API 23 is older than the target; tests/test_android.py checks the same sources against API 34.
java8=(-encoding UTF-8 -source 8 -target 8 -Xlint:-options -bootclasspath "$android_jar")
step "compiling core" javac "${java8[@]}" -d "$work/core" "$here"/core/src/main/java/edgecap/core/*.java
step "compiling the app" javac "${java8[@]}" -cp "$work/core:$classpath" -d "$work/app" \
  "$main"/java/edgecap/demo/*.java "$work"/gen/edgecap/demo/R.java
step "dx" java -cp "$root/usr/share/java/com.android.dx.jar" com.android.dx.command.Main --dex \
  "--min-sdk-version=$min_sdk" "--output=$work/apk/classes.dex" "$work/core" "$work/app" "${jars[@]}"

# --- the package: native libraries stored and on page boundaries, as they are mapped and not copied
cp "$work/resources.apk" "$work/unaligned.apk"
cp -r "$out"/tflite/tensorflow-lite-2*/jni/* "$work/apk/lib/"
cd "$work/apk"
step "adding the dex" native "$tools/aapt" add "$work/unaligned.apk" classes.dex
step "adding the native libraries" native "$tools/aapt" add -0 "" "$work/unaligned.apk" \
  lib/*/libtensorflowlite_jni.so
cd "$here"
step "zipalign" native "$tools/zipalign" -f -p 4 "$work/unaligned.apk" "$work/aligned.apk"
key=$out/debug.keystore
[ -e "$key" ] || step "keytool" keytool -genkeypair -keystore "$key" -storepass android \
  -alias androiddebugkey -dname "CN=Android Debug,O=Android,C=US" -keyalg RSA -keysize 2048 \
  -validity 10000
step "apksigner" java -jar "$root/usr/share/java/apksigner.jar" sign --ks "$key" \
  --ks-pass pass:android --min-sdk-version "$min_sdk" --out "$out/edgecap-demo.apk" \
  "$work/aligned.apk"
rm -f "$out/log.txt" "$out/edgecap-demo.apk.idsig"
printf '%s: %s bytes\n' "$out/edgecap-demo.apk" "$(stat -c %s "$out/edgecap-demo.apk")"
