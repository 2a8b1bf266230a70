# The PVS BIDS-App: docker run --gpus all pvs /bids /out participant
#
# What is installed stands in containers/install.sh, which Singularity.def calls, too. Layers, the one that changes
# least first: interpreter, dependencies (of requirements.lock), program with its weights.
FROM docker.io/library/debian:bookworm-slim AS python
COPY containers/install.sh /src/containers/install.sh
RUN sh /src/containers/install.sh python

FROM python AS dependencies
RUN sh /src/containers/install.sh tools
COPY requirements.lock /src/
RUN sh /src/containers/install.sh dependencies

FROM dependencies AS program
COPY pyproject.toml setup.py README.md LICENSE /src/
COPY pvs_bidsapp /src/pvs_bidsapp
RUN sh /src/containers/install.sh program

FROM python
ARG VERSION=unknown
LABEL org.opencontainers.image.title="PVS BIDS-App" \
      org.opencontainers.image.description="Finds and measures perivascular spaces on T1w (and T2w) brain MRI. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# the NVIDIA runtime hands over what is named here
ENV PATH=/opt/pvs/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=dependencies /opt/pvs /opt/pvs
COPY --from=program /opt/program /opt/program
RUN sh /src/containers/install.sh command && sh /src/containers/install.sh check && rm -rf /src
ENTRYPOINT ["/usr/local/bin/pvs"]
CMD ["--help"]
