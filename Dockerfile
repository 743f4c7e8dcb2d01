# Images of Headgate, made from its Debian package; BuildKit leaves out the stages that are not asked for.
#
#   docker build --target headgate --tag headgate .     the firewall alone: run it as `engine` and as `control`
#   docker-compose.yml                                  a lab with three workloads
#
# --build-arg PACKAGE=ready takes the package that scripts/package has built, instead of building it here.
ARG NODE=node:20-bookworm
ARG BASE=debian:bookworm-slim
ARG PACKAGE=build

FROM ${NODE} AS build
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends dpkg-dev g++ libpcap-dev make python3
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npx --no-install node-gyp configure --nodedir="$(dirname "$(dirname "$(command -v node)")")" \
  && make -C build -j"$(nproc)" BUILDTYPE=Release headgate \
  && npx --no-install tsc -p tsconfig.json \
  && HEADGATE_SETUP_DONE=1 scripts/package \
  && mv build/package/*.deb /headgate.deb

FROM scratch AS ready
COPY build/package/headgate_*.deb /headgate.deb

FROM ${PACKAGE} AS package

# The package's own user would get any number: this one is known to volumes and to hosts.
FROM ${BASE} AS headgate
RUN groupadd --system --gid 990 headgate \
  && useradd --system --uid 990 --gid headgate --home-dir /nonexistent --shell /usr/sbin/nologin headgate
RUN --mount=type=bind,from=package,source=/headgate.deb,target=/tmp/headgate.deb \
  apt-get update && apt-get install -y --no-install-recommends /tmp/headgate.deb && apt-get clean && rm -rf /var/lib/apt/lists/* \
  && install -d -m 700 -o headgate -g headgate /var/lib/headgate
# Whoever does not say otherwise gets no privileges.
USER headgate
ENTRYPOINT ["/usr/bin/headgate"]
CMD ["control"]

# The lab of docker-compose.yml: Headgate with the lab's host file and documents, which only root may write.
FROM headgate AS lab
USER root
COPY examples/compose/headgate.yaml /etc/headgate/headgate.yaml
COPY examples/compose/conf.d /etc/headgate/conf.d
RUN chmod -R go-w /etc/headgate
USER headgate

# What a workload of the lab sends with.
FROM ${BASE} AS workload
RUN apt-get update \
  && apt-get install -y --no-install-recommends iperf3 iproute2 iputils-ping python3-scapy \
  && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --chmod=755 examples/compose/workload /usr/local/bin/workload
ENTRYPOINT ["workload"]
