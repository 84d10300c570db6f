# Sourced by every script here. Keeps caches and temporary files inside the repository and leaves no build server behind.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DOTNET_CLI_HOME="$root/artifacts/home" DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
export DOTNET_GENERATE_ASPNET_CERTIFICATE=false DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE=true DOTNET_ADD_GLOBAL_TOOLS_TO_PATH=false
export NUGET_PACKAGES="$root/artifacts/nuget/packages" NUGET_HTTP_CACHE_PATH="$root/artifacts/nuget/http" NUGET_SCRATCH="$root/artifacts/nuget/scratch"
export MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
export TMPDIR="$root/artifacts/tmp"
mkdir -p "$DOTNET_CLI_HOME" "$TMPDIR"
# Warnings are errors; one compiler process per project instead of a server that stays.
dotnet_flags=(-nologo -v quiet -p:UseSharedCompilation=false)
