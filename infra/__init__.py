"""The Pulumi program: settings of a stack in, components wired together, outputs out.

Pulumi runs this folder (``main: infra``) with the folder itself first on the import path, so that each of its modules
would also be found by its bare name. They import each other as ``infra.…`` alone, which needs the repository on the
path, as the editable install of the virtual environment puts it there; and none has the name of another package.
"""
