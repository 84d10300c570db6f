namespace Perforator;

/// <summary>
/// An error a user can meet and mend. The message says what happened, to which file or host, and what to do next, in one line;
/// the CLI prints it as it is and exits with 1.
/// </summary>
public class UserErrorException : Exception
{
    public UserErrorException(string message) : base(message) { }

    public UserErrorException(string message, Exception? inner) : base(message, inner) { }
}
