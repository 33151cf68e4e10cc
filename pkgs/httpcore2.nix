{
  lib,
  buildPythonPackage,
  fetchPypi,

  # build-system
  hatch-fancy-pypi-readme,
  hatchling,
  uv-dynamic-versioning,

  # dependencies
  anyio,
  h11,
  truststore,
}:

buildPythonPackage rec {
  pname = "httpcore2";
  version = "2.16.2";
  pyproject = true;

  src = fetchPypi {
    inherit pname version;
    hash = "sha256-bFGdD3tE9yafqbu00nY9s5WkojcPBG2OjgpLOCJ4FdI=";
  };

  build-system = [
    hatch-fancy-pypi-readme
    hatchling
    uv-dynamic-versioning
  ];

  # It asks for a uv-dynamic-versioning newer than it needs: a version is handed in, not computed.
  pypaBuildFlags = [ "--skip-dependency-check" ];

  dependencies = [
    anyio
    h11
    truststore
  ];

  pythonImportsCheck = [ "httpcore2" ];

  meta = {
    description = "A minimal low-level HTTP client";
    license = lib.licenses.bsd3;
  };
}
