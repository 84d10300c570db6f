using Perforator.Agent;
using Perforator.Agent.Services;
using Perforator.Api.Uploading;
using Perforator.Recording;
using Perforator.Recording.Software;

namespace Perforator.Cli.Agent;

/// <summary>What the command line of <c>perforator agent</c> says.</summary>
/// <param name="Spool">The folder; null for none.</param>
/// <param name="Budget">What recording, aggregation and uploads may take together.</param>
/// <param name="Labels">Labels of every profile, beside those that the host tells by itself.</param>
internal sealed record AgentSettings(
    Uri Server, ServiceRules Rules, BranchSource Source, bool Kernel, SoftwareRecorderOptions Software, TimeSpan Interval, string? Spool,
    OutboxLimits Limits, HostBudget Budget, IReadOnlyList<(string Name, string Value)> Labels);
