// Names: unknown ones, double ones, and wrong uses.
import "nowhere" // want "MG101. 2:8: .nowhere. cannot be imported: no such file"
import "self" // want "MG102. 3:8: .*in a circle"

config {
  hidden_size: int = 64
  hidden_size: int = 64 // want "MG104. 7:3: the field hidden_size is already declared"
  kind: strin = "a" // want "MG103. 8:9: strin is no type of a field .*did you mean string"
}

let D = config.hiden_size // want "MG103. 11:16: config has no field hiden_size .did you mean hidden_size"
let H = 4
let H = 5 // want "MG104. 13:5: H is already defined"
let cast = 1 // want "MG104. 14:5: cast is an op"
let act = 1 // want "MG104. 15:5: act is a format"
var v = 1 // want "MG109. 16:1: a var at the top"

model m {
  architectures = "A" // want "MG109. 19:19: architectures is a list of strings"
  colour = 1 // want "MG109. 20:3: a model has no .colour."
}

// A norm.
def norm(x: [.., C], gain: [C]) -> [.., C] {
  let mean_square = mean(x * x, axis=-1, keep=true)
  x * rsqrt(mean_sqare + 1e-6) * gain // want "MG103. 26:13: mean_sqare is not defined .did you mean mean_square"
}

def calls(x: f32[..]) -> f32[..] {
  let a = norm(x) // want "MG105. 30:15: the call of norm lacks the argument gain .expected norm"
  let b = norm(x, x, x) // want "MG105. 31:22: norm is given too many arguments .expected 2 arguments, found 3"
  let c = norm(x, gian=x) // want "MG105. 32:19: norm has no parameter gian .did you mean gain" "lacks the argument gain"
  let d = norm(gain=x, x) // want "MG105. 33:24: an argument by place follows one by name"
  let e = norm(x, x=x, gain=x) // want "the parameter x of norm is given twice"
  let f = nrom(x, x) // want "MG103. 35:11: no def, op or function is named nrom .did you mean norm"
  let g = softmax(x) // want "MG103. 36:11: no def, op or function is named softmax .*import"
  let h = norm // want "MG106. 37:11: norm is a def .*call it: norm"
  let i = exp // want "MG103. 38:11: exp is an op .*call it"
  let j = einsum("ab->b", x) // want "MG105. 39:17: einsum lacks the operand b"
  let k = gather(x, x, axes=1) // want "MG105. 40:24: gather has no operand or attribute axes .*did you mean axis"
  let l = reshape(x) // want "MG105. 41:18: reshape lacks the attribute shape"
  let m = mean(x, axis=0, kep=true) // want "MG105. 42:27: mean has no argument named kep .did you mean keep"
  let n = hidden_size // want "MG103. 43:11: hidden_size is not defined .*config.hidden_size"
  let o = calls(x) // want "MG107. 44:11: calls calls itself"
  let p = constant(1) // want "MG106. 45:19: constant cannot be called"
  let q = f32(x, x) // want "MG105. 46:14: a cast takes one value"
  let r = D(x) + a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p + q
  r
}

def assignments(x: f32[..]) -> f32[..] {
  let a = x
  a = x // want "MG106. 53:3: a cannot be assigned .expected a var or a state, found the constant a.*define it with var"
  x = a // want "MG106. 54:3: x cannot be assigned .*the parameter x"
  H = 3 // want "MG106. 55:3: H cannot be assigned"
  zz = 3 // want "MG103. 56:3: zz is not defined .*introduced by let or var"
  var b = x
  b[0] = x // want "MG106. 58:3: a part of b cannot be assigned .*update"
  kv = x // want "MG106. 59:3: a state is assigned whole .expected kv.i., found kv"
  let a = 3 // want "MG104. 60:7: a is already defined in this block"
  let x = 3 // want "MG104. 61:7: x is already a name of the signature"
  f32(a) = x // want "MG106. 62:3: this cannot be assigned"
  let unused = 1 // want "warning.MG110. 63:7: nothing uses unused"
  x + 1 // want "warning.MG110. 64:3: the value is not used"
  b
}

def types(x: f33[..], y: int[3], z: f32, w: strin) -> [..] { // want "MG103. 68:14: f33 is no format .did you mean f32" "MG103. 68:26: int is no format" "MG103. 68:37: a tensor's type has a shape" "MG103. 68:45: strin is no type .did you mean string"
  y
}

def open(x: f32[4]) -> f32[4] {
  reshape(x, [.., 4]) // want "MG106. 73:15: nothing is left open here"
}

state kv[2]: f32[B, S, 4]
state bad: [B] // want "MG109. 77:12: a state is a tensor with a format and a shape"

entry e1(x: [B]) -> f32[B] { x } // want "MG108. 79:10: the input x of entry e1 is not a tensor of a given format"
entry e2(x: f32[..]) -> f32[B] { x } // want "MG108. 80:10: the input x of entry e2"
entry e3(x: f32[4]) { x } // want "MG108. 81:7: the entry e3 gives no result"
entry e4(x: f32[4]) -> f32[4] { let _y = x } // want "MG106. 82:44: e4 gives no value"
entry e5(x: f32[4]) -> (a: f32[4], a: f32[4]) { (x, x) } // want "MG104. 83:39: two results are named a"
entry e6(x: f32[4]) -> f32[4] { e1(x) } // want "MG106. 84:35: e1 is an entry"
