#!/bin/sh
# What both images consist of: the Dockerfile and Singularity.def call this, stage by stage.
#
#   install.sh python         the interpreter, from Debian
#   install.sh tools          pip and setuptools, in a folder of their own (/opt/build)
#   install.sh dependencies   requirements.lock, in /opt/pvs
#   install.sh program        this package, in /opt/program
#   install.sh command        /usr/local/bin/pvs
#   install.sh clean          take the tools away again
#   install.sh check          does it run, for anybody, and are the models what they should be?
#   install.sh all            all of it, in this order
#
# VERSION in the environment, such as v0.2.0, is the program's version: a build without git cannot ask for the tag.
# Without it the program calls itself 0+unknown.
#
# The sources lie where this script lies, one folder up.
set -eu
SOURCE=$(cd "$(dirname "$0")/.." && pwd)
VENV=/opt/pvs PROGRAM=/opt/program BUILD=/opt/build
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

apt_install() {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
}

stage() {
    case "$1" in
    python) apt_install python3 libgomp1 ;;
    tools)
        apt_install python3-venv
        python3 -m venv $BUILD
        $BUILD/bin/pip install --quiet 'setuptools>=77' 'setuptools-scm>=8' wheel ;;
    dependencies)
        python3 -m venv --without-pip $VENV
        $BUILD/bin/pip --python $VENV/bin/python install --quiet --prefer-binary -r "$SOURCE/requirements.lock"
        echo $PROGRAM >"$(echo $VENV/lib/python3*/site-packages)/program.pth"
        # headers and import libraries are for those who compile against torch
        rm -rf $VENV/lib/python3*/site-packages/torch/include $VENV/lib/python3*/site-packages/torch/lib/*.a ;;
    program)
        version=$(printf %s "${VERSION:-}" | sed -n 's/^v\{0,1\}\([0-9][0-9.]*[a-z0-9.+]*\)$/\1/p')
        [ -z "$version" ] || export SETUPTOOLS_SCM_PRETEND_VERSION="$version"
        $BUILD/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /tmp/wheel "$SOURCE"
        $BUILD/bin/pip --python $VENV/bin/python install --quiet --no-deps --upgrade --target $PROGRAM /tmp/wheel/*.whl
        rm -rf /tmp/wheel $PROGRAM/bin "$SOURCE/build" ;;
    command)
        printf '#!/bin/sh\nexec %s/bin/python -m pvs_bidsapp.cli.main "$@"\n' $VENV >/usr/local/bin/pvs
        chmod 755 /usr/local/bin/pvs ;;
    clean)
        rm -rf $BUILD
        apt-get purge -y -qq --auto-remove python3-venv >/dev/null
        rm -rf /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old ;;
    check)
        env -i PATH=/usr/local/bin:/usr/bin:/bin setpriv --reuid=65534 --regid=65534 --clear-groups sh -euc '
            cd /
            pvs --version
            pvs models verify
            /opt/pvs/bin/python -c "from pvs_bidsapp.anatomy import template; print(\"template\", template.load().t1w.shape)"
            ! command -v pip gcc make' ;;
    all) for s in python tools dependencies program command clean check; do stage $s; done ;;
    *) sed -n '2,16p' "$0"; exit 2 ;;
    esac
}

stage "${1:-help}"
