// Package faults contains only tests, behind the build tag faults: they kill, stop, cut off and confuse the real programs while
// events flow. `make faults` runs them.
package faults
