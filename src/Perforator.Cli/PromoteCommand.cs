using System.CommandLine;
using Perforator.Api;

namespace Perforator.Cli;

/// <summary><c>perforator promote SERVICE HASH --as NAME</c>: lets a name stand for a profile.</summary>
internal static class PromoteCommand
{
    public static Command Create()
    {
        Argument<string> service = new("service") { Description = "The service." };
        Argument<string?> hash =
            new("hash") { Description = "The profile: its hash, or at least the first 8 digits of it ('perforator history').", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> server = ServerOption.Create();
        Option<string> name = new("--as") { Description = "The name, such as stable.", HelpName = "NAME", Required = true };
        Option<bool> rollBack = new("--roll-back") { Description = "Let the name stand again for what it stood for before." };
        Option<bool> remove = new("--remove") { Description = "Take the name away; the profile stays." };
        Command command = new("promote",
            """
            Lets a name stand for a profile that was generated before; 'perforator pgo SERVICE --name NAME' gives that, whatever agents send, until another one is promoted.

            Example: perforator promote search 128263761cb63df4 --as stable
            """)
        { service, hash, server, name, rollBack, remove };
        command.Check(result =>
        {
            int given = (result.GetValue(hash) is null ? 0 : 1) + (result.GetValue(rollBack) ? 1 : 0) + (result.GetValue(remove) ? 1 : 0);
            if (given != 1)
                result.AddError("One of a hash, --roll-back and --remove has to be given.");
        });
        command.SetAction((parsed, stop) => RunAsync(
            parsed.GetValue(service)!, parsed.GetValue(hash), ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(name)!,
            parsed.GetValue(remove), stop));
        return command;
    }

    private static async Task<int> RunAsync(string service, string? hash, Uri server, string name, bool remove, CancellationToken stop)
    {
        using ServerClient client = new(server);
        if (remove)
        {
            await client.DeleteNameAsync(service, name, stop);
            Console.Error.WriteLine($"{name} stands for no profile of {service} any more");
            return ExitCodes.Ok;
        }
        hash ??= (await client.GetNameAsync(service, name, stop)).Previous
            ?? throw new UserErrorException($"{name} of {service} stood for nothing before that it could be rolled back to");
        NamedProfile named = await client.PromoteAsync(service, name, hash.ToLowerInvariant(), stop);
        Console.Error.WriteLine(
            $"{name} of {service} stands for {named.Profile}" + (named.Previous is null ? "" : $"; before, for {named.Previous}"));
        return ExitCodes.Ok;
    }
}
