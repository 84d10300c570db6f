# Draws the results of eng/bench gain as SVG: for each program and their geometric mean, what each way of building saves of -O2's user time.
# Usage: awk -f gain.awk PROGRAM.results…
BEGIN {
  ways = split("instrumented flags probes flags+bolt flags+propeller", way, " ")
  split("instrumented PGO|sPGO, lines|sPGO, probes|sPGO + BOLT|sPGO + Propeller", title, "|")
  split("#9aa0a6 #4c8dd6 #1f4e9c #2f9e6e #e08a2c", colour, " ")
}
FNR == 1 { group[++groups] = FILENAME; sub(/\.results$/, "", group[groups]); sub(/.*\//, "", group[groups]) }
{ saved[groups, $1] = 1 - $2; mean[$1] += log($2); counted[$1]++ }
END {
  group[groups + 1] = "geometric mean"
  for (i = 1; i <= ways; i++) {
    saved[groups + 1, way[i]] = counted[way[i]] == groups ? 1 - exp(mean[way[i]] / groups) : 0
    for (g = 1; g <= groups + 1; g++) if (saved[g, way[i]] > most) most = saved[g, way[i]]
  }
  most = (int(most * 20) + 1) / 20
  bar = 14; step = ways * bar + 22; left = 44; top = 34; high = 200; width = left + (groups + 1) * step + 8
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, top + high + 26, width
  printf "<title>User time saved, of -O2</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
  for (i = 1; i <= ways; i++)
    printf "<rect x=\"%d\" y=\"8\" width=\"10\" height=\"10\" fill=\"%s\"/><text x=\"%d\" y=\"17\">%s</text>\n", left + (i - 1) * 122, colour[i], left + (i - 1) * 122 + 14, title[i]
  for (v = 0; v < most + 0.001; v += 0.05) {
    y = top + high * (1 - v / most)
    printf "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d %%</text>\n", left, width - 8, y, y, v == 0 ? "#333" : "#ddd", left - 6, y + 4, v * 100 + 0.5
  }
  for (g = 1; g <= groups + 1; g++) {
    x = left + 11 + (g - 1) * step
    for (i = 1; i <= ways; i++) {
      tall = high * (saved[g, way[i]] > 0 ? saved[g, way[i]] : 0) / most
      printf "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\"/>\n", x + (i - 1) * bar, top + high - tall, bar - 2, tall, colour[i]
    }
    printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\"%s>%s</text>\n", x + ways * bar / 2, top + high + 16, (g > groups ? " font-weight=\"bold\"" : ""), group[g]
  }
  print "</svg>"
}
