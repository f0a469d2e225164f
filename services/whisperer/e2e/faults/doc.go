// Package faults has tests only, behind the build tag of the same name: they kill, stop, cut off and confuse the real
// programs while events flow. `make faults` runs them.
package faults
