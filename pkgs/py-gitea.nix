{
  lib,
  buildPythonPackage,
  fetchPypi,

  # build-system
  setuptools,

  # dependencies
  immutabledict,
  requests,
}:

buildPythonPackage rec {
  pname = "py-gitea";
  version = "0.2.10";
  pyproject = true;

  src = fetchPypi {
    pname = "py_gitea";
    inherit version;
    hash = "sha256-8ypzqpUctJm4zCwIkaMTeUzVgsncLcaqgMI3y6rO82E=";
  };

  build-system = [ setuptools ];

  dependencies = [
    immutabledict
    requests
  ];

  # Its tests want a running forge.
  doCheck = false;

  pythonImportsCheck = [ "gitea" ];

  meta = {
    description = "A wrapper for the Gitea API";
    license = lib.licenses.mit;
  };
}
