using Spectre.Console;

namespace Perforator.Cli;

/// <summary>One line of live progress on stderr: rewritten in place on a terminal, a plain line now and then elsewhere.</summary>
internal static class LiveLine
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>Shows the text, asked for again and again, until the work is done or its time is over.</summary>
    /// <param name="rewrite">Rewrite in place if stderr is a terminal; false when others write there too.</param>
    /// <param name="plainInterval">Time between plain lines.</param>
    public static async Task ShowAsync(Task work, Func<string> text, bool rewrite, TimeSpan plainInterval)
    {
        if (rewrite && !Console.IsErrorRedirected)
        {
            IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
            await console.Status().StartAsync(Markup.Escape(text()), async context =>
            {
                while (!work.IsCompleted)
                {
                    await Task.WhenAny(work, Task.Delay(PollInterval));
                    context.Status(Markup.Escape(text()));
                }
            });
            return;
        }
        while (!work.IsCompleted)
        {
            await Task.WhenAny(work, Task.Delay(plainInterval));
            if (!work.IsCompleted)
                Console.Error.WriteLine(text());
        }
    }
}
