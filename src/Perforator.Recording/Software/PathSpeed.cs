namespace Perforator.Recording.Software;

/// <summary>What the code on an interpreted path is like to a CPU.</summary>
/// <param name="Branches">Taken branches on it.</param>
/// <param name="Instructions">Instructions on it.</param>
/// <param name="Pages">Pages of memory, code included, that its first <see cref="Burst.LeadIn"/> branches touch, or all where there are fewer.</param>
internal readonly record struct PathShape(int Branches, long Instructions, int Pages);

/// <summary>
/// How quick a process's threads are when nobody disturbs them, by what their paths are like, and so how many branches each sample is to count: as many as its thread takes in a time
/// that is the same for all samples of the process.
/// </summary>
/// <remarks>
/// As many branches from each random moment would give slow code (cache misses, mispredictions) too much weight, as it is met more often than quick code with as many branches.
/// Where an <see cref="Odometer"/> told the speed, that counts, the less the less its words agree. The others are estimated: the logarithm of branches a microsecond is taken to be linear in those of instructions a branch
/// and of pages (the wider code ranges, the more it misses the caches), with coefficients fitted to the odometers read so far. docs/recorder.md has the figures behind that.
/// </remarks>
internal sealed class PathSpeed
{
    /// <summary>Taken branches: as many as a sample is to count on average. Fewer show mostly what is slow around the moment, more are not followed in the time that a stop may last.</summary>
    private const double UsualLength = 3500;

    /// <summary>
    /// Where the first <see cref="Burst.LeadIn"/> branches of a path touch more pages, samples are to be shorter than those. A stop has time for some 250 pages; what a sample lacks then is made
    /// up for (<see cref="Burst.Counted"/>), but should not be most of it.
    /// </summary>
    private const double PagesOfStop = 400;

    /// <summary>Paths with twice as many pages are shorter by two to this power.</summary>
    private const double Shortening = 1.25;

    /// <summary>Microseconds.</summary>
    private const double FirstTime = 4, ShortestTime = 2, LongestTime = 64;

    /// <summary>
    /// So many readings are believed whatever is estimated. Then the time that samples stand for is set, and anew whenever there are twice as many, but not for ever: were it to change
    /// all the time, parts of a program's run would count for more than others.
    /// </summary>
    private const int FirstReadings = 8, LastReadings = 64;

    /// <summary>Branches a microsecond, instructions a branch and pages that are about usual: logarithms are of multiples of these.</summary>
    private const double UsualSpeed = 1000, UsualInstructions = 7, UsualPages = 20;

    /// <summary>Twice as many branches touch this power of two times as many pages, or so.</summary>
    private const double Spread = 0.6;

    /// <summary>On a shorter path, pages touched say nothing.</summary>
    private const int FewestBranches = 200;

    /// <summary>What is assumed of the coefficients, and as how many readings that counts.</summary>
    private static readonly double[] Assumed = [0, -0.3, -0.2], Readiness = [0.5, 4, 4];

    /// <summary>Bounds of the coefficients: what readings of a part of the code suggest for the rest is not believed beyond.</summary>
    private static readonly double[] Least = [-10, -1.5, -1], Most = [10, 0, 0];

    /// <summary>An estimate is at most so many times more or less than what was measured on average: where few samples have an odometer, those that have one are of some code more than of other.</summary>
    private const double Furthest = 1.3;

    /// <summary>How far speeds are from what is estimated of them: the variance of their logarithms, where the words of an odometer agree.</summary>
    private const double Variance = 0.2;

    /// <summary>A reading that is further off the estimate (in logarithms) counts less.</summary>
    private const double Usable = 0.5;

    /// <summary>What readings count when another one has come: the last two hundred rule.</summary>
    private const double Memory = 0.995;

    /// <summary>The normal equations of the fit, for the difference to what is assumed.</summary>
    private readonly double[,] products = new double[3, 3];
    private readonly double[] sums = new double[3], coefficients = [.. Assumed];
    /// <summary>Of all readings, and of what was estimated for them, since an estimate of logarithms is too low for the mean.</summary>
    private double measured = UsualSpeed, estimated = UsualSpeed;
    /// <summary>Sums of logarithms over the first readings, of speeds and of pages.</summary>
    private double firstSpeeds, firstPages;
    /// <summary>How many readings there are, of which the last count.</summary>
    private double counted = 1;
    private int readings;

    /// <summary>Microseconds of its thread's undisturbed time that each sample stands for.</summary>
    public double SampleTime { get; private set; } = FirstTime;

    /// <param name="shape">Of the path.</param>
    /// <param name="branchesPerMicrosecond">What the odometer says of its thread.</param>
    public void Learn(in PathShape shape, double branchesPerMicrosecond)
    {
        Span<double> features = stackalloc double[3];
        Describe(shape, features);
        if (readings < LastReadings)
        {
            firstSpeeds += Math.Log(branchesPerMicrosecond);
            firstPages += features[2];
        }
        double before = Product(coefficients, features), seen = Math.Log(branchesPerMicrosecond / UsualSpeed);
        double weight = ++readings <= FirstReadings ? 1 : Math.Min(1, Usable / Math.Abs(seen - before)), rest = seen - Product(Assumed, features);
        for (int row = 0; row < 3; row++)
        {
            sums[row] = (sums[row] * Memory) + (weight * features[row] * rest);
            for (int column = 0; column < 3; column++)
                products[row, column] = (products[row, column] * Memory) + (weight * features[row] * features[column]);
        }
        if (readings is >= FirstReadings and <= LastReadings && int.IsPow2(readings))
        {
            double pages = UsualPages * Math.Exp(firstPages / readings), length = Math.Min(UsualLength, Burst.LeadIn * Math.Pow(PagesOfStop / pages, Shortening));
            SampleTime = Math.Clamp(length / Math.Exp(firstSpeeds / readings), ShortestTime, LongestTime);
        }
        Fit();
        double now = Math.Exp(Product(coefficients, features)) * UsualSpeed;
        (counted, measured, estimated) = ((counted * Memory) + weight, (measured * Memory) + (weight * branchesPerMicrosecond), (estimated * Memory) + (weight * now));
    }

    /// <summary>Branches a microsecond of a thread whose odometer is not known.</summary>
    public double Estimate(in PathShape shape)
    {
        Span<double> features = stackalloc double[3];
        Describe(shape, features);
        double mean = measured / counted;
        return Math.Clamp(Math.Exp(Product(coefficients, features)) * UsualSpeed * measured / estimated, mean / Furthest, mean * Furthest);
    }

    /// <summary>Branches a microsecond of a thread, as its odometer says and its path lets expect: their geometric mean, each weighed with the other's variance.</summary>
    /// <param name="shape">Of the path.</param>
    /// <param name="reading">Null where the thread has no odometer.</param>
    public double Estimate(in PathShape shape, OdometerReading? reading)
    {
        double expected = Estimate(shape);
        return reading is { } read ? expected * Math.Pow(read.Speed / expected, Variance / (Variance + read.Variance)) : expected;
    }

    private static void Describe(in PathShape shape, Span<double> features)
    {
        features[0] = 1;
        (features[1], features[2]) = shape.Branches < FewestBranches ? (0, 0)
            : (Math.Log(shape.Instructions / (double)shape.Branches / UsualInstructions), Math.Log((shape.Pages + 1) / UsualPages * Math.Pow(Burst.LeadIn / (double)Math.Min(shape.Branches, Burst.LeadIn), Spread)));
    }

    private static double Product(ReadOnlySpan<double> one, ReadOnlySpan<double> other) => (one[0] * other[0]) + (one[1] * other[1]) + (one[2] * other[2]);

    /// <summary>Solves the normal equations by elimination; what is assumed keeps them regular and the pivots positive.</summary>
    private void Fit()
    {
        Span<double> m = stackalloc double[12];
        for (int row = 0; row < 3; row++)
        {
            for (int column = 0; column < 3; column++)
                m[(row * 4) + column] = products[row, column] + (row == column ? Readiness[row] : 0);
            m[(row * 4) + 3] = sums[row];
        }
        for (int pivot = 0; pivot < 3; pivot++)
        {
            for (int row = pivot + 1; row < 3; row++)
            {
                double factor = m[(row * 4) + pivot] / m[(pivot * 4) + pivot];
                for (int column = pivot; column < 4; column++)
                    m[(row * 4) + column] -= factor * m[(pivot * 4) + column];
            }
        }
        for (int row = 2; row >= 0; row--)
        {
            double value = m[(row * 4) + 3];
            for (int column = row + 1; column < 3; column++)
                value -= m[(row * 4) + column] * (coefficients[column] - Assumed[column]);
            coefficients[row] = Math.Clamp(Assumed[row] + (value / m[(row * 4) + row]), Least[row], Most[row]);
        }
    }
}
