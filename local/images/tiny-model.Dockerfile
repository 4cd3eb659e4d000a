# A local source of models: the loader, and models below /source as it looks for them
# (<organization>/<name>/<revision>/). The context is the folder that holds them.
ARG LOADER_IMAGE
FROM ${LOADER_IMAGE}
COPY . /source
