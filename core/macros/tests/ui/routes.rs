use mycelium::routes;

mod a {
    pub struct Risk;
}

mod b {
    pub struct Risk;
}

struct Tick;

routes! {
    Fast: { Tick => [a::Risk, b::Risk] }
}

routes! {
    Twice: { Tick => [a::Risk, a::Risk] }
}

routes! {
    Lists: { Tick => [a::Risk], Tick => [b::Risk] }
}

routes! {
    Empty: { Tick => [] }
}

routes! {
    Elsewhere: { Tick => [a::Risk] -> topic }
}

struct Route;

routes! {
    Method: { Tick => [Route] }
}

routes! { Tick => [Route] }

fn main() {}
