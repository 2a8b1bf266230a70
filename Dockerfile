# The PVS BIDS-App: docker run --gpus all pvs /bids /out participant
#
# What is installed stands in containers/install.sh, which Singularity.def calls, too. Layers, the one that changes
# least first: interpreter, dependencies (of requirements.lock), program with its weights.
FROM docker.io/library/debian:bookworm-slim AS python
COPY containers/install.sh /src/containers/install.sh
RUN sh /src/containers/install.sh python

# one layer, at whose end the build tools are gone: the image starts from it (to copy 1.8 GB from a stage takes 15 s
# at each build, only to see that nothing has changed)
FROM python AS dependencies
COPY requirements.lock /src/
RUN for stage in tools dependencies clean; do sh /src/containers/install.sh $stage || exit 1; done

FROM dependencies AS program
# the program's version, such as v0.2.0: the build has no git to ask
ARG VERSION=
RUN sh /src/containers/install.sh tools
COPY pyproject.toml setup.py README.md LICENSE /src/
COPY pvs_bidsapp /src/pvs_bidsapp
RUN VERSION="$VERSION" sh /src/containers/install.sh program

FROM dependencies
ARG VERSION=unknown
LABEL org.opencontainers.image.title="PVS BIDS-App" \
      org.opencontainers.image.description="Finds and measures perivascular spaces on T1w (and T2w) brain MRI. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# the NVIDIA runtime hands over what is named here
ENV PATH=/opt/pvs/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=program /opt/program /opt/program
RUN sh /src/containers/install.sh command && sh /src/containers/install.sh check && rm -rf /src
ENTRYPOINT ["/usr/local/bin/pvs"]
CMD ["--help"]
