// A program for profiles: calls through interfaces that nearly always go to one method, a generic function, and small functions that
// are inlined only where they are hot. With a file name it writes Go's own CPU profile there.
package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
)

type Shape interface{ Area(k int) int }

type Square struct{ side int }
type Circle struct{ radius int }

func mix(a, b int) int {
	for i := 0; i < 3; i++ {
		a = a*31 + b>>1
		b ^= a << 2
		if a&7 == 3 {
			a += b
		}
	}
	return a ^ b + a%7 + b%5
}

func (s *Square) Area(k int) int { return mix(s.side, k) + mix(k, s.side) }
func (c *Circle) Area(k int) int { return mix(c.radius, k) * 3 }

type Number interface{ ~int | ~int64 }

func Sum[T Number](values []T) T {
	var total T
	for _, v := range values {
		total = fold(total, v)
	}
	return total
}

func fold[T Number](a, b T) T {
	if a > b {
		a -= b / 3
	} else {
		a += b * 5
	}
	a ^= b << 1
	for a&63 == 63 {
		a = a/2 + b
	}
	return a*7 + b%11
}

//go:noinline
func measure(shapes []Shape, rounds int) int {
	total := 0
	for i := 0; i < rounds; i++ {
		total += shapes[i%len(shapes)].Area(i)
	}
	return total
}

func main() {
	rounds, _ := strconv.Atoi(os.Args[1])
	if len(os.Args) > 2 {
		file, err := os.Create(os.Args[2])
		if err != nil {
			panic(err)
		}
		defer file.Close()
		pprof.StartCPUProfile(file)
		defer pprof.StopCPUProfile()
	}
	shapes := make([]Shape, 16)
	for i := range shapes {
		shapes[i] = &Square{i}
	}
	shapes[7] = &Circle{7}
	values := make([]int64, 512)
	for i := range values {
		values[i] = int64(i * 77)
	}
	total := 0
	for i := 0; i < rounds; i++ {
		total += measure(shapes, 4000) + int(Sum(values))
		values[i%len(values)] = int64(total)
	}
	fmt.Println(total)
}
