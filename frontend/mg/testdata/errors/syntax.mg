// Every mistake of a file is found, not the first alone.
import std // want "MG007. 2:8: unexpected .std. .expected a string"

model m {
  architectures: ["A"] // want "MG007. 5:16: unexpected .:. .expected .=."
}

config {
  hidden size: int // want "MG007. 9:10: unexpected .size. .expected .:.*a comma or an operator missing"
  depth: int = 4 where > 0
}

let a = (1 + ) // want "MG007. 13:14: unexpected .\\). .expected an expression"
let b = 3 4 // want "MG007. 14:11: unexpected the number 4"
let c = 12ab // want "MG002. 15:9: .12ab. is not a number"
let d = 'x' // want "MG001. 16:9: unexpected .*double quotes" "MG001. 16:11"
let e = 1 ! 2 // want "MG001. 17:11: unexpected .*did you mean not" "MG007. 17:13"
let f = "a{}b" // want "MG007. 18:11: the braces are empty"
let g = "a{1 +}b" // want "MG007. 19:15: unexpected"
let h = "a}b" // want "MG003. 20:11: } without {"
let i = "\q" // want "MG003. 21:10: \\\\q means nothing"

def j(x: int, y: ) { x } // want "MG007. 23:18: unexpected .\\). .expected a type such as"

def k(x: f32[..]) -> f32[..] {
  let y == x // want "MG007. 26:9: unexpected .==. .expected .=."
  let weight = x // want "MG007. 27:7: unexpected the keyword weight .expected a name.*choose another name"
  y = = x // want "MG007. 28:7: unexpected .=. .*equality is written =="
  for i on 0..3 { // want "MG007. 29:9: unexpected .on. .expected .in."
    let z = 1
  }
  let w = foo(a b) // want "MG007. 32:17: unexpected .b. .expected .\\)."
  let v = a < b < c // want "MG007. 33:17: comparisons do not chain" "nothing uses v"
  let u = [1, , 2] // want "MG007. 34:15: nothing stands between two commas" "nothing uses u"
  x
}

defn l() { 1 } // want "MG007. 38:1: unexpected .defn. .expected a declaration.*did you mean def"

def m(x: f32[..], { // want "MG006. 40:6: .\\(. is never closed" "MG006. 40:19"
  x

entry n(x: f32[B]) -> f32[B] {
  let y = (x] // want "MG006. 44:13: .\\]. closes nothing .expected .\\)." "MG006. 44:11"
  y
}
