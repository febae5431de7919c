# SPDX-License-Identifier: ISC
# Plots what scale.py has measured: gnuplot -e "data='FILE'" scale.gp
# Readable on white and on black: no background, and colours between the two.
set terminal svg size 640,300 dynamic enhanced font "sans-serif,12"
set border 3 linecolor rgb "#808080"
set tics nomirror textcolor rgb "#808080"
set xlabel textcolor rgb "#808080"
set ylabel textcolor rgb "#808080"
set key textcolor rgb "#808080" top left horizontal
set grid ytics linecolor rgb "#808080" dashtype 3
set logscale x
set yrange [0:*]
set ylabel "cost, times the smallest case"

set output "docs/scale-clients.svg"
set xlabel "TCP clients; queries in flight"
plot 1.3 with lines linecolor rgb "#808080" dashtype 2 title "1.3", \
    data index 2 using 1:3 with linespoints linecolor rgb "#d95f02" pt 7 \
	title "busy clients", \
    data index 3 using ($1 > 0 ? $1 : 1):3 with linespoints \
	linecolor rgb "#1b9e77" pt 5 title "idle clients", \
    data index 4 using 1:3 with linespoints linecolor rgb "#7570b3" pt 9 \
	title "in flight"

set output "docs/scale-upstreams.svg"
set xlabel "upstreams"
plot 1.3 with lines linecolor rgb "#808080" dashtype 2 title "1.3", \
    data index 0 using 1:3 with linespoints linecolor rgb "#d95f02" pt 7 \
	title "all used", \
    data index 1 using 1:3 with linespoints linecolor rgb "#1b9e77" pt 5 \
	title "failover"

set output "docs/scale-size.svg"
set xlabel "bytes of an answer"
set ylabel "ns a byte"
set logscale y
set yrange [*:*]
plot data index 5 using 1:2 with linespoints linecolor rgb "#d95f02" pt 7 \
	notitle
